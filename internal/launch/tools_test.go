package launch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// What the machine runs on is in the audit log's receipt, in the status, and in the receipt
// that is printed; what is another one than before is said at once.
func TestReceiptNamesTheTools(t *testing.T) {
	t.Parallel()
	const sum = "3f2ab1c04d5e000000000000000000000000000000000000000000000000aaaa"
	w := newWorld(t)
	var said []string
	deps := w.deps()
	deps.Events = event.SinkFunc(func(_ context.Context, e event.Event) {
		if e.Kind == event.Warn {
			said = append(said, e.Text)
		}
	})
	deps.Tools = func(_ context.Context, machine string) []digest.Sum {
		if machine != "bottle-demo-aaaaa" {
			t.Errorf("asked about %s", machine)
		}
		return []digest.Sum{{Name: "smolvm", SHA256: sum}, {Name: "kernel", SHA256: sum, Was: strings.Repeat("0", 64)}, {Name: "initramfs", Problem: "gone"}}
	}
	bottle, err := launch.Start(t.Context(), w.plan, deps)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"smolvm": sum, "kernel": sum, "initramfs": "unknown: gone"}
	for _, r := range w.records {
		if fields, ok := r.Fields.(map[string]any); ok && r.Event == "receipt" && fmt.Sprint(fields["tools"]) != fmt.Sprint(want) {
			t.Errorf("the receipt says %v", fields["tools"])
		}
	}
	instances, _ := w.state.List()
	if len(instances) != 1 {
		t.Fatal(instances)
	}
	status, err := instances[0].Status()
	if err != nil || status.Phase != state.Running || fmt.Sprint(status.Tools) != fmt.Sprint(want) {
		t.Errorf("the status says %v, %v", status.Tools, err)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := "  tools    sha256 of smolvm 3f2ab1c04d5e, kernel 3f2ab1c04d5e, initramfs unknown (gone)\n"; !strings.Contains(bottle.Receipt(), line) {
		t.Errorf("want %q:\n%s", line, bottle.Receipt())
	}
	if want := "[kernel is another one than at the last start: sha256 3f2ab1c04d5e, was 000000000000]"; fmt.Sprint(said) != want {
		t.Errorf("said %q, want %q", said, want)
	}
	w.nothingLeft()
}

// A launch that fails does not wait for a VM tool that does not answer, and leaves nobody
// behind who does.
func TestLookAtTheToolsEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.health = func(context.Context, int) (int, error) { return -1, smolvm.ErrNotRunning }
	deps := w.deps()
	ended := make(chan struct{})
	deps.Tools = func(ctx context.Context, _ string) []digest.Sum {
		defer close(ended)
		<-ctx.Done()
		return nil
	}
	if _, err := launch.Start(t.Context(), w.plan, deps); err == nil {
		t.Fatal("no error")
	}
	<-ended
	w.nothingLeft()
}
