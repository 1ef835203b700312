package app

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/execx"
)

// A process with the owner's pid that began at another time is somebody else: it gets no
// signal.
func TestStopKnowsTheOwnerByItsStart(t *testing.T) {
	a := newApp(t)
	other, err := execx.Start(t.Context(), execx.Cmd{Path: "/bin/sleep", Args: []string{"60"}})
	if err != nil {
		t.Fatal(err)
	}
	instance := instanceOf(t, a, "demo-aaaaa", other.Pid())
	defer instance.Unlock()
	status, err := instance.Status()
	if err != nil {
		t.Fatal(err)
	}
	status.PIDStart = "1"
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Stop(ctx, "demo-aaaaa", false); err == nil {
		t.Error("it is stopped")
	}
	_ = other.Signal(syscall.SIGKILL)
	exit := (*execx.ExitError)(nil)
	if err := other.Wait(); !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL {
		t.Errorf("it got another signal than ours: %v", err)
	}
}
