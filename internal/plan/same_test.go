package plan_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"bottle.internal/internal/plan"
)

// A plan has the same bytes however often it is made, also by another clock: Go's maps have
// another order each time.
func TestSameBytesEveryTime(t *testing.T) {
	t.Parallel()
	resolve := func(t *testing.T) []byte {
		t.Helper()
		set := load(t, everything)
		p, err := plan.Resolve(set, ask("claude"), facts(set, "claude"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return append(text, p.Preflight()...)
	}
	want := resolve(t)
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			if got := resolve(t); !bytes.Equal(got, want) {
				t.Fatalf("got:\n%s\nwant:\n%s", got, want)
			}
		}
	})
}
