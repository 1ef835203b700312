package smolvm

import (
	"errors"
	"syscall"

	"bottle.internal/internal/execx"
)

// process is a process that cannot be mistaken for a later one with the same id. The
// zero process is dead.
type process struct {
	pid   int
	start string // empty if it could not be read
}

func findProcess(pid int) process {
	if pid <= 1 {
		return process{}
	}
	start, alive, ok := execx.StartTime(pid)
	if ok && !alive {
		return process{}
	}
	return process{pid: pid, start: start}
}

func (p process) alive() bool {
	if p.pid == 0 {
		return false
	}
	if start, alive, ok := execx.StartTime(p.pid); ok {
		return alive && (p.start == "" || start == p.start)
	}
	// Processes of others may be hidden: EPERM says that there is one.
	err := syscall.Kill(p.pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
