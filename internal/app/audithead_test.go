package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/event"
)

// The head is printed when a bottle ends: with it, a tail that is cut off later is missed.
func TestHeadIsPrinted(t *testing.T) {
	a := newApp(t)
	var said []string
	a.events = event.SinkFunc(func(_ context.Context, e event.Event) { said = append(said, e.Text) })
	a.launched(t, "demo-zzzzz")
	whole, err := a.VerifyAudit("demo-zzzzz", "")
	want := fmt.Sprintf("%d lines; to check them: bottle audit verify demo-zzzzz --head %s", whole.Lines, whole.Head)
	if err != nil || len(said) != 1 || said[0] != want {
		t.Fatalf("it says %q, %v; want %q", said, err, want)
	}
	path := a.auditLog("demo-zzzzz")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.Join(strings.SplitAfter(string(raw), "\n")[:2], "") // behind the first head
	if err := os.WriteFile(path, []byte(cut), 0o600); err != nil {
		t.Fatal(err)
	}
	without, err1 := a.VerifyAudit("demo-zzzzz", "")
	with, err2 := a.VerifyAudit("demo-zzzzz", whole.Head)
	if err1 != nil || err2 != nil || !without.OK || with.OK {
		t.Errorf("a log that was cut off: %+v without the head, %+v with it; %v, %v", without, with, err1, err2)
	}
}
