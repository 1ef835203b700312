package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/tests/eventually"
	"bottle.internal/tests/logtest"
)

func testSpec() Spec {
	return Spec{
		Identity: "demo-x7k2p", Owner: "0123abcd", Image: "bundle@sha256:1",
		Users:  []User{{UID: 64881, RunDir: "/run/firewall"}, {UID: 64883, RunDir: "/run/git-gate", Volume: "/var/lib/git-gate"}},
		Hosts:  []string{"api.example.com:127.0.0.2"},
		Labels: map[string]string{"team": "a", LabelOwner: "somebody else"},
		Echo:   &Echo{Image: "bundle@sha256:1", Aliases: []string{"echo.bottle.test", "unlisted.bottle.test"}, Stdin: []byte("cert and key")},
	}
}

func mustStart(t *testing.T, f *fakeEngine, spec Spec) *Bundle {
	t.Helper()
	b, err := Start(t.Context(), f, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestStartUseClose(t *testing.T) {
	t.Parallel()
	f, logs := newFake(t), &logtest.Buffer{}
	spec := testSpec()
	spec.Logs, spec.Echo.Logs = logs, logs
	b := mustStart(t, f, spec)
	if want := []string{
		"network list", "network create bottle-demo-x7k2p",
		"create bottle-demo-x7k2p-echo", "attach bottle-demo-x7k2p-echo", "start bottle-demo-x7k2p-echo",
		"volume list", "create bottle-demo-x7k2p", "attach bottle-demo-x7k2p", "start bottle-demo-x7k2p", "inspect bottle-demo-x7k2p",
	}; !cmp.Equal(f.calls, want) {
		t.Error(cmp.Diff(want, f.calls))
	}
	if got := b.GateAddr(); !strings.HasPrefix(got, "127.0.0.1:400") {
		t.Errorf("GateAddr = %q", got)
	}
	stdin, stdout := b.Stdio()
	if _, err := io.WriteString(stdin, "hello"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("echo of hello"))
	if _, err := io.ReadFull(stdout, answer); err != nil || string(answer) != "echo of hello" {
		t.Errorf("stdout says %q, %v", answer, err)
	}
	eventually.True(t, "both logs arrive", func() bool {
		return strings.Contains(logs.String(), "init| up\n") && strings.Contains(logs.String(), "got \"cert and key\"\n")
	})
	if alive, err := b.Alive(t.Context()); !alive || err != nil {
		t.Errorf("Alive = %v, %v", alive, err)
	}
	f.calls = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // ^C is no reason to leave things behind
	for range 2 {
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	// Both stops side by side, then both removals and the network's, then the volume's.
	if left := f.left(); left != "" || len(f.calls) != 6 || !slices.Contains(f.calls[2:5], "network remove net1") ||
		!strings.HasPrefix(f.calls[0]+f.calls[1], "stop ") || f.calls[5] != "volume remove bottle-demo-x7k2p-volume" {
		t.Errorf("left: %s; calls %q", left, f.calls)
	}
	if _, err := stdout.Read(answer); err == nil {
		t.Error("stdout is still open")
	}
	if got := b.GateAddr(); got != "" {
		t.Errorf("after Close the gate is at %q", got)
	}
}

// Whichever call of a start fails, before or after the engine carried it out.
func TestAFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	for failAt := 1; failAt <= 10; failAt++ {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, done %v", failAt, done), func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				f.failAt, f.failDone = failAt, done
				b, err := Start(t.Context(), f, testSpec())
				if b != nil || !errors.Is(err, errInjected) {
					t.Errorf("Start = %v, %v", b, err)
				}
				if !strings.HasPrefix(err.Error(), "starting bundle demo-x7k2p: ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q", err)
				}
				if left := f.left(); left != "" {
					t.Errorf("after %q there is still: %s", f.calls[failAt-1], left)
				}
			})
		}
	}
}

// A close that fails says so, and the next one finishes the work.
func TestCloseCanBeRepeated(t *testing.T) {
	t.Parallel()
	for failAt := 1; failAt <= 6; failAt++ {
		t.Run(fmt.Sprint(failAt), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			b := mustStart(t, f, testSpec())
			f.calls, f.failAt = nil, failAt
			err := b.Close(t.Context())
			if err != nil && f.left() == "" {
				t.Errorf("Close = %v with nothing left", err)
			}
			if err == nil && f.left() != "" {
				t.Errorf("Close is content with %s left", f.left())
			}
			if err := b.Close(t.Context()); err != nil || f.left() != "" {
				t.Errorf("second Close = %v, left: %s", err, f.left())
			}
		})
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := mustStart(t, f, testSpec())
	first, ended := b.GateAddr(), b.Ended()
	f.mu.Lock()
	f.end(f.containers[b.ContainerID()])
	f.mu.Unlock()
	<-ended
	if got := b.GateAddr(); got != first {
		t.Errorf("the gate was at %q and is at %q", first, got)
	}
	if alive, err := b.Alive(t.Context()); alive || err != nil {
		t.Errorf("Alive = %v, %v", alive, err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.GateAddr(); got == "" || got == first {
		t.Errorf("the gate was at %q and is at %q", first, got)
	}
	stdin, stdout := b.Stdio()
	_, _ = io.WriteString(stdin, "again")
	if _, err := io.ReadFull(stdout, make([]byte, len("echo of again"))); err != nil {
		t.Error(err)
	}
}

func TestExecAndDial(t *testing.T) {
	t.Parallel()
	b := mustStart(t, newFake(t), testSpec())
	if problems := b.Dial(t.Context(), "live.test:443=00ff"); problems[0] != nil {
		t.Errorf("Dial = %v", problems)
	}
	want := `[dialing dead.test:443 from bundle demo-x7k2p: "refused 10.1.2.3:443: connection refused" dialing x:1 from bundle demo-x7k2p: ""]`
	if problems := b.Dial(t.Context(), "dead.test:443", "x:1"); fmt.Sprint(problems) != want {
		t.Errorf("Dial = %v", problems)
	}
	if _, code, err := b.Exec(t.Context(), "nonsense"); code != -1 || fmt.Sprint(err) != `running ["nonsense"] in bundle demo-x7k2p: exit status 2: ""` {
		t.Errorf("Exec = %d, %v", code, err)
	}
}
