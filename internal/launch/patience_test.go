package launch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// quiet has no sockets, so that a test's clock may run ahead.
func quiet(t *testing.T) *world {
	w := newWorld(t)
	w.plan.Ports, w.plan.Echo = nil, nil
	w.targets = func(context.Context) (*boundary.Targets, error) { return &boundary.Targets{}, nil }
	w.plan.Env = slices.DeleteFunc(w.plan.Env, func(e plan.Env) bool { return e.Source == "launch" })
	return w
}

func TestPatience(t *testing.T) {
	t.Parallel()
	boot := "bottle doctor"
	for _, test := range []struct {
		name string
		set  func(*world)
		want string
		took time.Duration // of the test's clock
	}{
		{
			"a machine that hangs at its start", func(w *world) { w.block = "start" },
			"bottle-demo-aaaaa was not up within 3m0s: starting the machine: start: context deadline exceeded", 3 * time.Minute,
		},
		{
			"a firewall that never answers", func(w *world) {
				w.health = func(context.Context, int) (int, error) { return 1, nil }
			},
			"the firewall did not answer inside the guest within 30s (bottle-guest provision ended with status 1)", 30 * time.Second,
		},
		{
			"a guest that never answers", func(w *world) { w.block = "health" },
			"the firewall did not answer inside the guest within 30s (bottle-guest provision never ended)", 30 * time.Second,
		},
		{
			// Whoever answers 137 for ever was not proved, and nobody asks anew for that long.
			"a guest whose programs are killed", func(w *world) {
				w.health = func(context.Context, int) (int, error) { return 137, nil }
			},
			"the firewall did not answer inside the guest within 30s (bottle-guest provision ended with status 137)", 30 * time.Second,
		},
		{
			"programs that are killed at first", func(w *world) {
				w.health = func(_ context.Context, call int) (int, error) { return 137 * min(1, 3/call), nil }
			},
			"", 300 * time.Millisecond,
		},
		{
			"a machine that dies meanwhile", func(w *world) {
				w.health = func(context.Context, int) (int, error) { return -1, smolvm.ErrNotRunning }
			},
			"asking for the firewall inside the guest: machine is not running", 0,
		},
		{
			"a firewall that answers late", func(w *world) {
				w.health = func(_ context.Context, call int) (int, error) { return min(1, 5/call), nil }
			},
			"", 500 * time.Millisecond,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := quiet(t)
			test.set(w)
			synctest.Test(t, func(t *testing.T) {
				w.stuck = make(chan struct{})
				begin := time.Now()
				bottle, err := w.start(t.Context())
				if took := time.Since(begin); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if test.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					err = bottle.Close(t.Context())
					if err != nil {
						t.Error(err)
					}
					return
				}
				var hinter *launch.BootError
				if err == nil || err.Error() != test.want || !errors.As(err, &hinter) || !slices.Contains(hinter.HintLines(), boot) {
					t.Errorf("Start() = %v, want %q with a hint", err, test.want)
				}
			})
			w.nothingLeft()
		})
	}
}

func TestAGuestThatNeverTakesItsFiles(t *testing.T) {
	t.Parallel()
	w := quiet(t)
	w.block = "files"
	synctest.Test(t, func(t *testing.T) {
		w.stuck = make(chan struct{})
		begin := time.Now()
		_, err := w.start(t.Context())
		want := "provisioning: the guest did not take everything within 3m0s"
		if took := time.Since(begin); err == nil || err.Error() != want || took != 3*time.Minute {
			t.Errorf("Start() = %v after %s, want %q", err, took, want)
		}
	})
	w.nothingLeft()
}

// Nobody waits for longer than mage does, even for a tool that never answers.
func TestTeardownIsBounded(t *testing.T) {
	t.Parallel()
	w := quiet(t)
	synctest.Test(t, func(t *testing.T) {
		w.stuck = make(chan struct{})
		bottle, err := w.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.block = "delete"
		begin := time.Now()
		err = bottle.Close(t.Context())
		if took := time.Since(begin); took != launch.TeardownTimeout || took >= 5*time.Second {
			t.Errorf("Close took %s", took)
		}
		want := "demo-aaaaa was not removed completely: undoing the machine and the bundle: " +
			"undoing the machine bottle-demo-aaaaa: delete: context deadline exceeded"
		if err == nil || err.Error() != want {
			t.Errorf("Close() = %v, want %q", err, want)
		}
	})
	if w.instance(state.StatusFile) == nil {
		t.Error("the leftover is not listed")
	}
}
