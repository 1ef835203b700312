package app

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/smolvmtest"
	"bottle.internal/internal/state"
)

func TestMain(m *testing.M) {
	smolvmtest.Main()
	goleak.VerifyTestMain(m)
}

// newApp has a home of its own, and neither a VM tool nor an engine.
func newApp(t *testing.T, environ ...string) *App {
	t.Helper()
	t.Setenv("DOCKER_HOST", "unix:///nonexistent")
	home := t.TempDir()
	environ = append([]string{"HOME=" + home, "BOTTLE_SMOLVM=/nonexistent/smolvm"}, environ...)
	a, err := New(Config{Environ: environ, Dir: home, UID: os.Getuid(), GID: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bystander is a process that must not be hurt, or an owner that obeys.
func bystander(t *testing.T) (pid int, ended <-chan struct{}) {
	t.Helper()
	process, err := execx.Start(context.Background(), execx.Cmd{Path: "/bin/sleep", Args: []string{"60"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = process.Wait()
	}()
	t.Cleanup(func() { _ = process.Signal(syscall.SIGKILL); <-done })
	return process.Pid(), done
}

func instanceOf(t *testing.T, a *App, id names.Identity, pid int) *state.Instance {
	t.Helper()
	instance, err := a.state.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	status := state.Status{Identity: id, Agent: id.Agent(), Phase: state.Running, PID: pid, Machine: launch.MachineName(id)}
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}
	return instance
}

func TestStopAsksALivingOwner(t *testing.T) {
	a := newApp(t)
	pid, ended := bystander(t)
	instance := instanceOf(t, a, "demo-aaaaa", pid)
	removed := make(chan error, 1)
	go func() { // an owner that obeys
		<-ended
		removed <- instance.Remove()
	}()
	if err := a.Stop(t.Context(), "demo-aaaaa", false); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if rows, problems := a.List(t.Context()); len(rows)+len(problems) > 0 {
		t.Errorf("left: %v, %v", rows, problems)
	}
}

// The pid of a dead owner may be somebody else's by now: it is forgotten when the lock is
// taken, so that a second stop, which finds the lock taken, signals nobody.
func TestStopForgetsTheDeadOwnersPid(t *testing.T) {
	a := newApp(t)
	pid, ended := bystander(t)
	instance := instanceOf(t, a, "demo-aaaaa", pid)
	instance.Unlock() // the owner died

	err := a.Stop(t.Context(), "demo-aaaaa", false)
	var leftover *launch.LeftoverError
	if !errors.As(err, &leftover) || !strings.Contains(err.Error(), "looking for the VM tool") || !strings.Contains(err.Error(), "the Docker Engine does not answer") {
		t.Errorf("Stop() = %v, want everything that could not be removed", err)
	}
	status, err := instance.Status()
	if err != nil || status.PID != 0 || status.Phase != state.Stopping || instance.Owned() {
		t.Errorf("status %+v, %v, owned %v", status, err, instance.Owned())
	}

	if err := instance.Lock(); err != nil { // as another stop would
		t.Fatal(err)
	}
	defer instance.Unlock()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("enough"))
	defer cancel()
	err = a.Stop(ctx, "demo-aaaaa", false)
	var problem *Problem
	if !errors.As(err, &problem) || problem.Text != "another process is still starting or removing demo-aaaaa" {
		t.Errorf("Stop() = %v", err)
	}
	select {
	case <-ended:
		t.Error("a process that only has the number was killed")
	default:
	}
}

func TestExecInABottleThatDoesNotRun(t *testing.T) {
	a := newApp(t)
	instance := instanceOf(t, a, "demo-aaaaa", os.Getpid())
	for _, test := range []struct {
		phase state.Phase
		want  string
	}{
		{state.Starting, "demo-aaaaa is not running (starting)"},
		{state.Stopping, "demo-aaaaa is not running (stopping)"},
	} {
		if err := instance.WriteStatus(state.Status{Identity: "demo-aaaaa", Phase: test.phase}); err != nil {
			t.Fatal(err)
		}
		_, err := a.Exec(t.Context(), "demo-aaaaa", guestexec.Command{Argv: []string{"true"}}, guestexec.Stdio{})
		var problem *Problem
		if !errors.As(err, &problem) || err.Error() != test.want || !slices.Equal(problem.HintLines(), []string{"bottle list"}) {
			t.Errorf("Exec() = %v, want %q", err, test.want)
		}
	}
	if err := instance.Remove(); err != nil {
		t.Error(err)
	}
}
