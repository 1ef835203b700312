//go:build linux

package supervisor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// ringSize bounds what a guest can write to the host's disk through its console: two
// files of half of it, the older one with the suffix ".1".
const ringSize = 4 << 20

// ring keeps the end of the console in files.
type ring struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int
	tail []byte
}

func newRing(path string) (*ring, error) {
	r := &ring{path: path}
	err := r.rotate()
	return r, err
}

// rotate keeps the last file, also over a restart of the machine.
func (r *ring) rotate() error {
	if r.file != nil {
		_ = r.file.Close()
	}
	_ = os.Rename(r.path, r.path+".1")
	file, err := os.OpenFile(r.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the console log: %w", err)
	}
	r.file, r.size = file, 0
	return nil
}

// Write never fails: a full disk must not stop the guest's console.
func (r *ring) Write(p []byte) (int, error) {
	const tailSize = 2 << 10
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tail = append(r.tail, p...)
	r.tail = r.tail[max(0, len(r.tail)-tailSize):]
	for rest := p; len(rest) > 0; {
		n := min(len(rest), ringSize/2-r.size)
		_, _ = r.file.Write(rest[:n])
		r.size += n
		rest = rest[n:]
		if r.size == ringSize/2 && r.rotate() != nil {
			r.size = 0 // the old file is closed; writes to it are lost until the next turn
		}
	}
	return len(p), nil
}

func (r *ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}

// summary is the end of the console for a person. The guest wrote it, so nothing in
// it reaches a terminal unquoted.
func (r *ring) summary() string {
	const lines = 8
	r.mu.Lock()
	defer r.mu.Unlock()
	all := strings.Split(strings.TrimSpace(string(r.tail)), "\n")
	out := []string{"  console log: " + r.path}
	for _, line := range all[max(0, len(all)-lines):] {
		quoted := strconv.QuoteToASCII(strings.TrimSpace(line))
		out = append(out, "  | "+quoted[1:len(quoted)-1])
	}
	return strings.Join(out, "\n")
}
