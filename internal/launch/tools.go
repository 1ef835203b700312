package launch

import (
	"context"
	"fmt"
	"time"

	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
)

// toolsTimeout bounds the look at them: the proof waits for it.
const toolsTimeout = 10 * time.Second

// tools are the digests of what the machine runs on. They are found while the guest is
// asked for its proof, which takes longer.
type tools struct {
	cancel context.CancelFunc
	done   chan struct{}
	sums   []digest.Sum // once done is closed
}

// lookAtTools begins to find them; the teardown ends that.
func (b *Bottle) lookAtTools(ctx context.Context) {
	if b.deps.Tools == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, toolsTimeout)
	found := &tools{cancel: cancel, done: make(chan struct{})}
	b.tools = found
	go func() {
		defer close(found.done)
		found.sums = b.deps.Tools(ctx, b.plan.VM.Name)
	}()
}

// end leaves nobody behind who looks. It has no effect that anybody would have to undo.
func (t *tools) end() {
	if t != nil {
		t.cancel()
		<-t.done
	}
}

// get waits for the digests.
func (t *tools) get() []digest.Sum {
	if t == nil {
		return nil
	}
	<-t.done
	return t.sums
}

// sayTools tells of those that are not what they were at an earlier start.
func (b *Bottle) sayTools(ctx context.Context) {
	for _, sum := range b.tools.get() {
		if sum.Was != "" {
			b.say(ctx, event.Warn, "tools", fmt.Sprintf("%s is another one than at the last start: sha256 %s, was %s", sum.Name, digest.Short(sum.SHA256), digest.Short(sum.Was)))
		}
	}
}
