//go:build integration && linux

package escape

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
)

// maxClient bounds what a command on this host may hold while a guest floods it.
const maxClient = 256 << 20

// garbage goes into the sockets themselves, past the forwarder, by root.
func garbage(t *testing.T, s *scene) {
	random := make([]byte, 8<<10)
	_, _ = rand.Read(random)
	noise := fmt.Sprintf("%x", random) // JSON takes no other bytes
	control := sync.OnceValues(func() (string, error) {
		return strings.Join(s.allOpen(t, "before"), ", ") + " answer before and after", nil
	})
	var list []attempt
	for _, socket := range []string{"8888", "9100", "9420"} {
		for _, c := range []struct{ what, piece string }{
			{"a long line", strings.Repeat("A", 256<<10)}, {"noise", noise + "\r\n\r\n"}, {"a TLS hello", "\x16\x03\x01\x00\x05hello\r\n\r\n"},
		} {
			list = append(list, attempt{
				name: socket + ".sock is told " + c.what, root: true, expected: "no way through, and it works again", control: control,
				attack: attack{Probe: probe.Probe{Kind: "say", Target: "unix:/run/bottle/" + socket + ".sock"}, Say: []string{c.piece}},
			})
		}
	}
	s.attempts(t, list)
	s.allOpen(t, "after garbage")
}

// channel replaces the program in the neighbour that answers the host's commands. The
// neighbour is not to be used after it.
func channel(t *testing.T, s *scene) {
	good := s.in(t, s.other, "root", "echo good")
	control := "exec answers before"
	if good.Stdout != "good\n" {
		t.Fatalf("the control: %s", good)
	}
	replaced := s.in(t, s.other, "root", "cp "+guestapi.Program+" /run/honest && cat >/run/evil <<'END'\n"+evil+"END\nchmod 755 /run/evil && mv /run/evil "+guestapi.Program)
	if replaced.Code != 0 {
		t.Fatalf("replacing it: %s", replaced)
	}
	for _, c := range []struct{ mode, expected, want string }{
		{"silent", "an error, no code", "the guest reported no exit code"},
		{"forged", "an error, no code", "the guest reported no exit code"},
		{"half", "an error, no code", "the guest reported no exit code"},
	} {
		s.evil(t, c.mode)
		said := s.in(t, s.other, "", "echo here")
		problem := ""
		if said.Code == 0 || !strings.Contains(said.Stderr, c.want) {
			problem = "it was believed"
		}
		table.add(t, row{probe: "exec is answered by a hostile program: " + c.mode, control: control, expected: c.expected, observed: fmt.Sprintf("exit %d, %s", said.Code, lastLine(said.Stderr))}, problem)
	}
	for _, mode := range []string{"flood", "endless"} {
		s.evil(t, mode)
		s.flooded(t, mode, control)
	}
	s.evil(t, "flood")
	verified := s.bottle(t, "verify", s.other)
	problem := ""
	if verified.Code != 0 {
		problem = verified.String()
	}
	table.add(t, row{probe: "verify, when the guest's own program is hostile", control: "a fresh program is sent", expected: "the receipt of the fresh one", observed: fmt.Sprintf("exit %d", verified.Code)}, problem)
}

// evil answers as the file says. The nonce of the frame is on its own command line.
const evil = `#!/bin/sh
case "$(cat /run/mode)" in
silent) exit 0 ;;
forged) printf '\036bottle-exit:00000000000000000000000000000000:0\036\n' >&2; exit 0 ;;
half) printf '\036bottle-exit:%s:' "$3" >&2; exit 0 ;;
flood) exec yes "$(head -c 2000 /dev/zero | tr '\0' x)" ;;
endless) printf '\036bottle-exit:%s:' "$3" >&2; exec cat /dev/zero >&2 ;;
esac
`

// evil tells the program what to do, by the VM tool: bottle's own way is the program's.
func (s *scene) evil(t *testing.T, mode string) {
	t.Helper()
	result, err := s.VM(t.Context(), "machine", "exec", "--name", "bottle-"+s.other, "--", "/bin/sh", "-c", "echo "+mode+" >/run/mode")
	if err != nil || result.Code != 0 {
		t.Fatalf("%v, %s", err, result)
	}
}

// flooded runs a command that is answered without an end: it stays small, and ends when it
// is told to.
func (s *scene) flooded(t *testing.T, mode, control string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Bottle, "exec", s.other, "--", "true")
	cmd.Env, cmd.Dir = s.Env, s.Dir
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.Stdout, cmd.Stderr = null, null
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var most int64
	for begin := time.Now(); time.Since(begin) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
		most = max(most, residentOf(cmd.Process.Pid))
	}
	told := time.Now()
	_ = cmd.Process.Signal(syscall.SIGINT)
	err = cmd.Wait()
	took := time.Since(told).Round(10 * time.Millisecond)
	problem := ""
	if most > maxClient || most == 0 || took > 10*time.Second || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		problem = "it is not bounded"
	}
	if err == nil {
		problem = "it ended well"
	}
	table.add(t, row{
		probe: "exec is answered by a hostile program: " + mode, control: control, expected: "bounded memory, ends on ^C",
		observed: fmt.Sprintf("%d MiB, ended %v after ^C: %v", most>>20, took, err),
	}, problem)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
