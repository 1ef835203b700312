package launch_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/launch"
)

// SECURITY-RULES 14: who ran in the guest before could have changed its bottle-guest, so a
// resume runs one that it sends, before anything else, and leaves it there.
func TestResumeTrustsNoProgramOfTheGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.fresh) != 0 || strings.Contains(w.archives[0], "usr/local/bin/bottle-guest") {
		t.Errorf("a new guest got programs: %q", w.fresh)
	}
	if err := bottle.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	instances, _ := w.state.List()
	if err := instances[0].Lock(); err != nil {
		t.Fatal(err)
	}
	status, err := instances[0].Status()
	if err != nil {
		t.Fatal(err)
	}
	deps := w.deps()
	deps.Program = func(context.Context) ([]byte, error) { return []byte("\x7fELF fresh"), nil }
	bottle, err = launch.Resume(t.Context(), w.plan, deps, launch.Kept{Instance: instances[0], Status: status})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.fresh, []string{"\x7fELF fresh"}) {
		t.Errorf("the resumed guest ran %q", w.fresh)
	}
	if last := w.archives[len(w.archives)-1]; !strings.Contains(last, "usr/local/bin/bottle-guest") || !strings.Contains(last, "\x7fELF fresh") {
		t.Error("the guest keeps its old program")
	}
	var trusted []any
	for _, r := range w.records {
		if fields, ok := r.Fields.(map[string]any); ok && r.Event == "receipt" {
			trusted = append(trusted, fields["guest_trusted"])
		}
	}
	if !slices.Equal(trusted, []any{true, false}) {
		t.Errorf("the receipts say guest_trusted %v", trusted)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
