package bundle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"
)

// lateEngine interrupts the launch while something is made, and finishes making it only
// if the caller still waits: a real engine finishes anyway, but later.
type lateEngine struct {
	*fakeEngine
	interrupt context.CancelFunc
	at        string
	cutOff    bool // the caller went away in the middle
}

func (e *lateEngine) during(ctx context.Context, call string) {
	if call == e.at {
		e.interrupt()
		e.cutOff = ctx.Err() != nil
	}
}

func (e *lateEngine) NetworkCreate(ctx context.Context, name string, o client.NetworkCreateOptions) (client.NetworkCreateResult, error) {
	e.during(ctx, "network")
	return e.fakeEngine.NetworkCreate(context.WithoutCancel(ctx), name, o)
}

func (e *lateEngine) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	e.during(ctx, "container")
	return e.fakeEngine.ContainerCreate(context.WithoutCancel(ctx), o)
}

// ^C while the engine makes something must wait for it: what appears after the look for
// leftovers would stay for ever.
func TestInterruptWhileSomethingIsMade(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"network", "container"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			f := &lateEngine{fakeEngine: newFake(t), interrupt: cancel, at: at}
			before := f.left()
			if _, err := Start(ctx, f, testSpec()); !errors.Is(err, context.Canceled) {
				t.Errorf("Start() = %v, want context.Canceled", err)
			}
			if f.cutOff {
				t.Error("the call was cut off in the middle")
			}
			if left := f.left(); left != before {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// A busy engine is waited for; only an interrupt makes the wait short.
func TestPatienceWithABusyEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		whole, cancel, err := atomic(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		time.Sleep(createTime / 2)
		interrupt()
		time.Sleep(createGrace - time.Millisecond)
		if whole.Err() != nil {
			t.Error("the call was cut off at once")
		}
		time.Sleep(2 * time.Millisecond)
		if whole.Err() == nil {
			t.Errorf("%v after the interrupt the call still goes on", createGrace)
		}
	})
}
