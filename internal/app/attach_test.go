package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/console"
	"bottle.internal/internal/detach"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
)

// An owner in this very process serves what Attach looks for, and ends.
func TestAttach(t *testing.T) {
	a := newApp(t)
	instance := instanceOf(t, a, "demo-aaaaa", os.Getpid())
	status, err := instance.Status()
	if err != nil {
		t.Fatal(err)
	}

	_, err = a.Attach(t.Context(), "demo-aaaaa", console.Viewer{Stdout: io.Discard})
	problem := (*Problem)(nil)
	if !errors.As(err, &problem) || !strings.HasPrefix(err.Error(), "demo-aaaaa runs in the foreground: its terminal is that of process ") ||
		strings.Join(problem.Hints, "|") != "bottle shell demo-aaaaa|bottle exec demo-aaaaa -- COMMAND" {
		t.Errorf("%v", err)
	}

	screen, err := console.Open(t.Context(), console.Config{Socket: launch.AttachSocket(instance, status)})
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	_, _ = io.WriteString(screen.Stdio().Stdout, "hello")
	screen.End(console.Exit{Code: 7})
	for phase, want := range map[state.Phase]string{
		state.Stopped:  "",
		state.Stopping: "demo-aaaaa was not removed completely: see " + instance.Path(state.OwnerLog),
	} {
		status.Phase = state.Running
		if err := instance.WriteStatus(status); err != nil {
			t.Fatal(err)
		}
		if err := instance.Lock(); err != nil && !errors.Is(err, state.ErrLocked) {
			t.Fatal(err)
		}
		// The owner takes its bottle down when the viewer has seen the end.
		seen := &bytes.Buffer{}
		end, err := a.Attach(t.Context(), "demo-aaaaa", console.Viewer{Stdout: writer(func(p []byte) {
			seen.Write(p)
			status.Phase = phase
			if err := instance.WriteStatus(status); err != nil {
				t.Error(err)
			}
			instance.Unlock()
		})})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != want || end.Code != 7 || end.Kept != (want == "") || !strings.HasSuffix(seen.String(), "hello") {
			t.Errorf("%+v, %v, %q", end, err, seen)
		}
	}
	status.Phase = state.Stopped
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}
	_, err = a.Attach(t.Context(), "demo-aaaaa", console.Viewer{Stdout: io.Discard})
	if stopped := (*Problem)(nil); !errors.As(err, &stopped) || err.Error() != "demo-aaaaa is not running (stopped)" ||
		strings.Join(stopped.Hints, "\n") != "bottle resume demo-aaaaa" {
		t.Errorf("%v, hints %q", err, stopped.HintLines())
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// Mage is another program: it has no way to start bottle again.
func TestDetachUnderMage(t *testing.T) {
	a := newApp(t)
	err := a.Detach(t.Context(), Detached{Plan: plan.Plan{Agent: "demo"}})
	problem := (*Problem)(nil)
	if !errors.As(err, &problem) || !strings.Contains(strings.Join(problem.Hints, " "), "go build -o bottle ./cmd/bottle") {
		t.Errorf("%v", err)
	}
}

// SECURITY-RULES 12: answers and plan go over the pipe; the arguments are the verb alone. An
// owner that cannot start says so with its last words.
func TestOwnersArguments(t *testing.T) {
	shell, err := execx.Find("sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	self := dir + "/bottle"
	script := "#!" + shell + "\nread -r line; echo \"$#:$*:$line\" > " + dir + "/got; pwd >> " + dir + "/got; echo it went wrong >&2\n"
	if err := os.WriteFile(self, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	a := newApp(t, "TERM=dumb")
	a.config.Self = self
	a.config.Ask = func(context.Context, string) (secret.Value, error) { return secret.New("s3cret"), nil }
	err = a.Detach(t.Context(), Detached{Plan: plan.Plan{Identity: "demo-aaaaa", Env: []plan.Env{{Name: "X", Source: "prompt", From: "?"}}}})
	if err == nil || err.Error() != detach.ErrDied.Error()+"\nit went wrong" {
		t.Errorf("%v", err)
	}
	got, err := os.ReadFile(dir + "/got")
	lines := strings.Split(string(got), "\n")
	if err != nil || len(lines) < 2 || !strings.HasPrefix(lines[0], "1:own:{") || lines[1] != "/" ||
		!strings.Contains(lines[0], `"answers":["s3cret"]`) || !strings.Contains(lines[0], `"term":"xterm-256color"`) {
		t.Errorf("%v, the owner got %s", err, got)
	}
}
