// Package excerpt keeps the beginning or the end of what a program says.
//
// Invariants: a writer here never fails and takes everything, so that the program ends by
// itself; it keeps at most Limit bytes; several streams may write at once.
package excerpt

import (
	"bytes"
	"sync"
)

// Head keeps the first Limit bytes.
type Head struct {
	Limit int

	mu   sync.Mutex
	kept []byte
	over bool
}

// Write implements [io.Writer].
func (h *Head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.Limit - len(h.kept)
	h.over = h.over || len(p) > room
	h.kept = append(h.kept, p[:min(len(p), room)]...)
	return len(p), nil
}

// Bytes are what was kept, and whether that is not all.
func (h *Head) Bytes() (kept []byte, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.kept), h.over
}

// Tail keeps the last Limit bytes.
type Tail struct {
	Limit int

	mu   sync.Mutex
	kept []byte
}

// Write implements [io.Writer].
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.Limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
