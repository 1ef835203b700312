package launch_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

// keep runs a bottle and keeps it.
func keep(t *testing.T, w *world, code *int) *state.Instance {
	t.Helper()
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := bottle.Keep(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	instances, _ := w.state.List()
	if len(instances) != 1 {
		t.Fatalf("instances: %v", instances)
	}
	return instances[0]
}

// resume takes the lock, as the app does.
func (w *world) resume(ctx context.Context, instance *state.Instance, fresh bool) (*launch.Bottle, error) {
	w.t.Helper()
	if err := instance.Lock(); err != nil {
		w.t.Fatal(err)
	}
	status, err := instance.Status()
	if err != nil {
		w.t.Fatal(err)
	}
	return launch.Resume(ctx, w.plan, w.deps(), launch.Kept{Instance: instance, Status: status, Fresh: fresh})
}

func TestKeepStopsTheMachineAndRemovesTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seven := 7
	instance := keep(t, w, &seven)
	calls := w.called()
	if !slices.Contains(calls, "stop") || slices.Contains(calls, "delete") || !slices.Contains(calls, "close") || !slices.Contains(calls, "release") {
		t.Errorf("calls: %v", calls)
	}
	if left := w.sockets(); len(left) > 0 {
		t.Errorf("sockets: %v", left)
	}
	status, err := instance.Status()
	if err != nil || status.Phase != state.Stopped || status.ExitCode == nil || *status.ExitCode != 7 || status.Ended.IsZero() || status.PID != 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	if status.Artifact != "/cache/x.smolmachine" || instance.Owned() {
		t.Errorf("artifact %q, owned %v", status.Artifact, instance.Owned())
	}
	if !slices.Contains(w.audited, "host running") || !slices.Contains(w.audited, "host stopped") {
		t.Errorf("audited: %v", w.audited)
	}
}

func TestResumeStartsTheSameMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	instance := keep(t, w, nil)
	first := w.spec.Key
	before, err := instance.Status()
	if err != nil {
		t.Fatal(err)
	}
	w.calls = nil
	bottle, err := w.resume(t.Context(), instance, false)
	if err != nil {
		t.Fatal(err)
	}
	if calls := w.called(); slices.Contains(calls, "create") || slices.Contains(calls, "artifact") || slices.Contains(calls, "delete") || !slices.Contains(calls, "start") {
		t.Errorf("calls: %v", calls)
	}
	if w.spec.Key == first {
		t.Error("the link key is the old one")
	}
	if n := len(w.archives); n != 2 || w.archives[0] == w.archives[1] {
		t.Errorf("%d archives: the certificates are the old ones", n)
	}
	status, err := instance.Status()
	if err != nil || status.Phase != state.Running || status.PID != os.Getpid() || status.ExitCode != nil || !status.Created.Equal(before.Created) {
		t.Errorf("status %+v, %v", status, err)
	}
	if !slices.Contains(w.audited, "host resumed") {
		t.Errorf("audited: %v", w.audited)
	}
	// It ended well this time.
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if calls := w.called(); !slices.Contains(calls, "delete") {
		t.Errorf("calls: %v", calls)
	}
	if instances, _ := w.state.List(); len(instances) > 0 {
		t.Errorf("left: %v", instances)
	}
}

func TestFreshResumeMakesTheMachineAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	instance := keep(t, w, nil)
	w.calls = nil
	bottle, err := w.resume(t.Context(), instance, true)
	if err != nil {
		t.Fatal(err)
	}
	calls := strings.Join(slices.DeleteFunc(w.called(), func(call string) bool {
		return !slices.Contains([]string{"artifact", "delete", "create", "start"}, call)
	}), " ")
	if calls != "artifact delete create start" {
		t.Errorf("calls: %v, want the old one to go only when the new one's image is there", calls)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whatever goes wrong, a resume loses nothing: the bottle is kept as it was.
func TestFailedResumeKeepsTheBottle(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"start", "bundle", "files"} {
		for _, fresh := range []bool{false, true} {
			if fresh && step == "bundle" {
				continue // side by side with the old machine's end: either may be first
			}
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				seven := 7
				instance := keep(t, w, &seven)
				w.calls, w.fail = nil, step
				_, err := w.resume(t.Context(), instance, fresh)
				if !errors.Is(err, errInjected) {
					t.Fatalf("Resume() = %v", err)
				}
				status, err := instance.Status()
				if err != nil || status.Phase != state.Stopped || status.ExitCode == nil || *status.ExitCode != 7 || instance.Owned() {
					t.Errorf("status %+v, %v", status, err)
				}
				if deleted := slices.Contains(w.called(), "delete"); deleted && !fresh {
					t.Errorf("calls: %v: the machine is lost", w.called())
				}
				w.fail = ""
				bottle, err := w.resume(t.Context(), instance, fresh)
				if err != nil {
					t.Fatalf("the next resume: %v", err)
				}
				if err := bottle.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestKeepThatFailsCanBeResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.fail = "stop"
	err = bottle.Keep(t.Context(), nil)
	leftover := (*launch.LeftoverError)(nil)
	want := "demo-aaaaa was not stopped completely: undoing the machine and the bundle: undoing the machine bottle-demo-aaaaa: injected failure"
	if !errors.As(err, &leftover) || err.Error() != want || !slices.Equal(leftover.HintLines(), []string{"bottle resume demo-aaaaa"}) {
		t.Errorf("Keep() = %v, hints %v", err, leftover.HintLines())
	}
	instances, _ := w.state.List()
	if status, err := instances[0].Status(); err != nil || status.Phase != state.Stopping || instances[0].Owned() {
		t.Errorf("status %+v, %v", status, err)
	}
}

// The machine carries whose it is, so that a cleanup can tell.
func TestMachineIsLabelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deps := w.deps()
	deps.Owner = "0011223344556677"
	bottle, err := launch.Start(t.Context(), w.plan, deps)
	if err != nil {
		t.Fatal(err)
	}
	if words := strings.Join(w.argv, " "); !strings.Contains(words, "bottle.identity:demo-aaaaa bottle.owner:0011223344556677") {
		t.Errorf("create: %s", words)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What observes a launch is told of everything that is undone, too.
func TestEveryEffectAndItsUndoingIsObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects []string
	seen := make(chan string, 1000)
	deps := w.deps()
	deps.Observe = func(effect string) { seen <- effect }
	bottle, err := launch.Start(t.Context(), w.plan, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
	close(seen)
	for effect := range seen {
		effects = append(effects, effect)
	}
	undone := 0
	for _, effect := range effects {
		if name, ok := strings.CutPrefix(effect, "undoing "); ok {
			undone++
			if !slices.Contains(effects, name) {
				t.Errorf("%s was undone, but never seen", name)
			}
		}
	}
	if undone < 7 {
		t.Errorf("only %d undoings: %v", undone, effects)
	}
}
