package proof_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/pkg/smolvm"
)

// Whatever a guest says that is not the word of proof with this call's nonce, it gets no
// byte of what the host has for it.
func TestNoProofNoArchive(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(nonce guestapi.Nonce) (stdout, stderr string){
		"nothing":                 func(guestapi.Nonce) (string, string) { return "", "" },
		"a foreign nonce":         func(guestapi.Nonce) (string, string) { return guestapi.Proved("0123456789abcdef"), "" },
		"not at the beginning":    func(n guestapi.Nonce) (string, string) { return "x" + guestapi.Proved(n), "" },
		"not to its end":          func(n guestapi.Nonce) (string, string) { return strings.TrimSuffix(guestapi.Proved(n), "\n"), "" },
		"on the wrong stream":     func(n guestapi.Nonce) (string, string) { return "", guestapi.Proved(n) },
		"a frame instead":         func(n guestapi.Nonce) (string, string) { return "", guestapi.Frame(n, 0) },
		"a frame on both":         func(n guestapi.Nonce) (string, string) { return guestapi.Frame(n, 0), guestapi.Frame(n, 0) },
		"no observations":         func(n guestapi.Nonce) (string, string) { return guestapi.Proved(n), "" },
		"half of them":            func(n guestapi.Nonce) (string, string) { return guestapi.Proved(n) + `[{"name":"firewall"`, "" },
		"something in the middle": func(n guestapi.Nonce) (string, string) { return "bottle-proved:\n" + string(n) + "\n", "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			installer := proof.Installer{Checks: checks(), Record: forgets, Guest: guest(func(_ context.Context, o smolvm.ExecOptions) (int, error) {
				if calls++; calls > 2 {
					return -1, smolvm.ErrNotRunning // else it would be asked for half a minute
				}
				stdin := bufio.NewReader(o.Stdin)
				if _, err := probe.ReadLine(stdin); err != nil {
					t.Error(err)
				}
				stdout, stderr := say(nonceOf(o))
				_, _ = io.WriteString(o.Stdout, stdout)
				_, _ = io.WriteString(o.Stderr, stderr)
				read := make(chan int)
				go func() {
					n, _ := stdin.Read(make([]byte, 1))
					read <- n
				}()
				select {
				case <-read:
					t.Error("the archive came without a proof")
				case <-time.After(10 * time.Millisecond):
					go func() { // when the host closes the stream
						if n := <-read; n != 0 {
							t.Error("the archive came without a proof")
						}
					}()
				}
				return 0, nil
			})}
			_, err := installer.Install(t.Context(), []byte("the archive"), io.Discard)
			var none *proof.NoProofError
			want := "asking for the firewall inside the guest: machine is not running"
			if !errors.As(err, &none) || err.Error() != want || calls != 3 {
				t.Errorf("Install() = %v after %d calls, want %q", err, calls, want)
			}
		})
	}
}

// The word may come in pieces. What is printed after it is for whoever provisions.
func TestProofInPieces(t *testing.T) {
	t.Parallel()
	installer := proof.Installer{Checks: checks(), Record: forgets, Guest: guest(func(_ context.Context, o smolvm.ExecOptions) (int, error) {
		_, _ = io.WriteString(o.Stderr, "not for anybody\n")
		stdin := bufio.NewReader(o.Stdin)
		said, err := proved(stdin, nonceOf(o), holds)
		if err != nil {
			t.Error(err)
		}
		for _, piece := range said {
			_, _ = io.WriteString(o.Stdout, string(piece))
		}
		_, _ = io.WriteString(o.Stdout, "and more")
		archive, err := io.ReadAll(stdin)
		if err != nil || string(archive) != "the archive" {
			t.Errorf("the guest got %q, %v", archive, err)
		}
		_, _ = io.WriteString(o.Stderr, "files: no space left\n"+guestapi.Frame(nonceOf(o), 125))
		return 125, nil
	})}
	var stderr bytes.Buffer
	code, err := installer.Install(t.Context(), []byte("the archive"), &stderr)
	if code != 125 || err != nil || stderr.String() != "files: no space left\n" {
		t.Errorf("Install() = %d, %v, and said %q", code, err, stderr.String())
	}
}

// Nothing follows from what the probes found before it was recorded.
func TestWhatTheProbesFoundDecides(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	for name, test := range map[string]struct {
		says   func([]probe.Probe) []probe.Observation
		record error
		want   string
		got    string // the archive
		found  string // all that was recorded
	}{
		"the boundary holds": {says: holds, want: "<nil>", got: "the archive", found: "passed,passed "},
		"a way out": {
			says: func(probes []probe.Probe) []probe.Observation {
				said := holds(probes)
				said[1].Reached, said[1].Saw = true, "connected\x1b[2J"
				return said
			},
			want: `the boundary does not hold: probe "a way out", expected blocked: the guest says "connected\\x1b[2J", 0 connections came`, found: "passed,FAILED ",
		},
		"a firewall that does not answer": {
			says: func(probes []probe.Probe) []probe.Observation {
				said := holds(probes)
				said[0].Reached = false
				return said
			},
			want: "asking for the firewall inside the guest: machine is not running", found: "FAILED,passed FAILED,passed ", // it was asked again
		},
		"no record": {says: holds, record: full, want: "asking for the firewall inside the guest: machine is not running", found: "passed,passed passed,passed "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got, found string
			calls := 0
			installer := proof.Installer{Checks: checks(), Record: func(_ context.Context, results []boundary.Result) error {
				found += fmt.Sprintf("%s,%s ", results[0].Verdict, results[1].Verdict)
				return test.record
			}, Guest: guest(func(_ context.Context, o smolvm.ExecOptions) (int, error) {
				if calls++; calls > 2 {
					return -1, smolvm.ErrNotRunning // else it would be asked for half a minute
				}
				stdin := bufio.NewReader(o.Stdin)
				said, err := proved(stdin, nonceOf(o), test.says)
				if err != nil {
					return -1, err
				}
				_, _ = io.WriteString(o.Stdout, said)
				archive, err := io.ReadAll(stdin)
				got += string(archive)
				_, _ = io.WriteString(o.Stderr, guestapi.Frame(nonceOf(o), 0))
				return 0, err
			})}
			_, err := installer.Install(t.Context(), []byte("the archive"), io.Discard)
			if fmt.Sprint(err) != test.want || got != test.got || found != test.found {
				t.Errorf("Install() = %v, gave %q, recorded %q; want %s, %q, %q", err, got, found, test.want, test.got, test.found)
			}
		})
	}
}

// forgets is a record for tests of something else.
func forgets(context.Context, []boundary.Result) error { return nil }
