//go:build linux

package initd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"bottle.internal/internal/execx"
)

// reaper starts our children and buries everybody else's: whatever a dead process leaves
// behind becomes a child of PID 1. It never waits for a child of ours, whose exit status
// belongs to its supervisor.
type reaper struct {
	mu       sync.Mutex // held from fork to registration, so that no child is unknown
	children map[int]bool
}

func newReaper() *reaper { return &reaper{children: map[int]bool{}} }

func (r *reaper) start(ctx context.Context, cmd execx.Cmd) (*execx.Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	process, err := execx.Start(ctx, cmd)
	if err == nil {
		r.children[process.Pid()] = true
	}
	return process, err
}

func (r *reaper) wait(process *execx.Process) error {
	err := process.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.children, process.Pid())
	return err
}

// reap buries every orphan that is dead by now. Signals of several deaths may arrive as
// one, so it looks at all processes.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	self := os.Getpid()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || r.children[pid] {
			continue
		}
		if state, parent := status(pid); state == 'Z' && parent == self {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// status reads a process's state letter and parent; 0 and 0 when it is gone.
func status(pid int) (state byte, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name in parentheses may hold anything, parentheses too.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || len(fields[0]) != 1 {
		return 0, 0
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0
	}
	return fields[0][0], parent
}
