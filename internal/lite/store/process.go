//go:build linux

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Process is a process id with the start time that tells it from a later process
// with the same id.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after the host's boot
}

// ProcessOf describes a running process.
func ProcessOf(pid int) (Process, error) {
	start, _, err := processStat(pid)
	if err != nil {
		return Process{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	return Process{PID: pid, Start: start}, nil
}

// Alive is false for a zombie: it holds nothing and only waits to be reaped.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, state, err := processStat(p.PID)
	return err == nil && start == p.Start && state != 'Z' && state != 'X'
}

// Signal sends s if the process is still the same one.
func (p Process) Signal(s syscall.Signal) {
	if p.Alive() {
		_ = syscall.Kill(p.PID, s)
	}
}

// WaitGone waits until the process has ended.
func (p Process) WaitGone(ctx context.Context) error {
	for p.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d: %w", p.PID, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// processStat reads /proc/PID/stat. The program name in it may hold anything,
// including parentheses and spaces, so the fields are counted from its end.
func processStat(pid int) (start uint64, state byte, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (start uint64, state byte, err error) {
	const startField = 22 - 3 // fields are numbered from 1; 3 is the first after the name
	end := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[end+1:])
	if end < 0 || len(fields) <= startField {
		return 0, 0, errors.New("unreadable /proc/PID/stat")
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	return start, fields[0][0], err
}
