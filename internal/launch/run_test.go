package launch_test

import (
	"context"
	"errors"
	"testing"
)

func TestInterruptedAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.block = "agent"
	interrupt := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-w.stuck
		cancel(interrupt)
	}()
	var out output
	// The caller makes exit code 130 of it.
	if _, err := bottle.Run(ctx, out.stdio()); !errors.Is(err, interrupt) || err.Error() != interrupt.Error() {
		t.Errorf("Run() = %v, want the interrupt", err)
	}
	if err := bottle.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}
