//go:build linux

package guest

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper is the only caller of wait4 in the guest: PID 1 inherits every orphan, and a
// second waiter (os/exec, os.Process) would race with it for the exit codes.
type reaper struct {
	mu       sync.Mutex
	children map[int]*child
}

// child is a process that somebody waits for. Its exit arrives on done exactly once.
type child struct {
	pid    int
	done   chan syscall.WaitStatus // buffered, so that the reaper never blocks
	reaper *reaper
}

func newReaper() *reaper { return &reaper{children: map[int]*child{}} }

// start holds the lock from fork to registration, so that the loop cannot reap a
// child that is not in the table yet.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (*child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, err
	}
	c := &child{pid: pid, done: make(chan syscall.WaitStatus, 1), reaper: r}
	r.children[pid] = c
	return c, nil
}

// signal reaches the child's process group, and nobody once the child was reaped:
// only until then its pid is certainly its own.
func (c *child) signal(s syscall.Signal) {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.children[c.pid] == c {
		_ = syscall.Kill(-c.pid, s)
	}
}

// run reaps until ctx ends.
func (r *reaper) run(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	defer signal.Stop(signals)
	for {
		r.reapAll()
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
	}
}

func (r *reaper) reapAll() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		r.mu.Lock()
		c := r.children[pid]
		delete(r.children, pid)
		r.mu.Unlock()
		if c != nil {
			c.done <- status
		}
	}
}

// exitCode is the shell's convention: 128 plus the signal.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
