package launch

import (
	"io"
	"sync"
)

// maxBundleLog bounds the bundle's log on the host, in bytes. What counts is in the audit
// log; an agent must not fill the disk with what is not.
const maxBundleLog = 64 << 20

// bounded writes until limit, says once that it is full, and drops the rest. A write that
// fails is not tried again: nobody else must suffer from a full disk.
type bounded struct {
	mu    sync.Mutex
	out   io.Writer
	limit int
}

// Write implements [io.Writer]. It never fails.
func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.limit < 0: // full
	case len(p) > b.limit:
		b.limit = -1
		_, _ = io.WriteString(b.out, "\nbottle: this log is full; see bottle audit show\n")
	default:
		b.limit -= len(p)
		_, _ = b.out.Write(p)
	}
	return len(p), nil
}
