package launch_test

import (
	"errors"
	"slices"
	"testing"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

func TestTeardownThatFailsStaysListed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ fail, want string }{
		{"delete", "demo-aaaaa was not removed completely: undoing the machine and the bundle: undoing the machine bottle-demo-aaaaa: injected failure"},
		{"close", "demo-aaaaa was not removed completely: undoing the machine and the bundle: undoing the bundle: injected failure"},
		{"release", "demo-aaaaa was not removed completely: injected failure"},
	} {
		t.Run(test.fail, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			bottle, err := w.start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.fail = test.fail
			err = bottle.Close(t.Context())
			var leftover *launch.LeftoverError
			if !errors.As(err, &leftover) || err.Error() != test.want {
				t.Fatalf("Close() = %v, want %q", err, test.want)
			}
			if hints := leftover.HintLines(); !slices.Equal(hints, []string{"bottle stop demo-aaaaa"}) {
				t.Errorf("hints %q", hints)
			}
			for _, step := range []string{"delete", "close", "release"} {
				if !slices.Contains(w.called(), step) {
					t.Errorf("%s was not tried", step)
				}
			}
			if left := w.sockets(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			instances, _ := w.state.List()
			if len(instances) != 1 || instances[0].Owned() {
				t.Fatalf("instances %v: want it listed and free for bottle stop", instances)
			}
			if status, err := instances[0].Status(); err != nil || status.Phase != state.Stopping || status.Machine != "bottle-demo-aaaaa" {
				t.Errorf("status %+v, %v", status, err)
			}
		})
	}
}

func TestStartAndUndoBothFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deps := w.deps()
	w.fail = "start"
	deps.Release = func() error { return errors.New("stuck") }
	_, err := launch.Start(t.Context(), w.plan, deps)
	want := "starting the machine: injected failure\ndemo-aaaaa was not removed completely: stuck"
	var leftover *launch.LeftoverError
	if err == nil || err.Error() != want || !errors.As(err, &leftover) || !errors.Is(err, errInjected) {
		t.Errorf("Start() = %v, want %q", err, want)
	}
}

func TestReleasedWhateverStopsTheStart(t *testing.T) {
	t.Parallel()
	t.Run("identity", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		released := false
		deps := w.deps()
		deps.Release = func() error { released = true; return nil }
		p := w.plan
		p.Identity = "../../etc"
		_, err := launch.Start(t.Context(), p, deps)
		if want := `invalid name "../../etc": an identity looks like demo-x7k2p`; err == nil || err.Error() != want || !released {
			t.Errorf("Start() = %v, released %v", err, released)
		}
	})
	t.Run("taken", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first, err := w.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.start(t.Context())
		if !errors.Is(err, state.ErrExists) || err.Error() != "bottle exists: demo-aaaaa" {
			t.Errorf("Start() = %v", err)
		}
		if w.instance(state.StatusFile) == nil || len(w.sockets()) != 2 {
			t.Error("the second start took something from the first bottle")
		}
		w.calls = slices.DeleteFunc(w.calls, func(call string) bool { return call == "release" })
		if err := first.Close(t.Context()); err != nil {
			t.Error(err)
		}
		w.nothingLeft()
	})
}
