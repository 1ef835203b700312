package smolvmtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/execx"
)

// startVMM leaves a process behind that does nothing but live.
func (t *fakeTool) startVMM() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var output *os.File
	if t.fault == HoldOutput {
		output = os.Stderr
	}
	return execx.StartDetached(execx.Cmd{Path: self, Env: append(os.Environ(), envVMM+"=1")}, output)
}

// playVMM lives until it is told to end, or its test is over.
func playVMM(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := os.Stat(dir); err != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// endVMM returns when the process is gone.
func endVMM(ctx context.Context, pid int) {
	for signal := syscall.SIGTERM; vmmAlive(pid) && ctx.Err() == nil; signal = 0 {
		_ = syscall.Kill(pid, signal)
		time.Sleep(2 * time.Millisecond)
	}
}

func vmmAlive(pid int) bool {
	if pid <= 1 || syscall.Kill(pid, 0) != nil {
		return false
	}
	// Whoever adopted it may not have reaped it.
	return !zombie(pid)
}

// zombie is for hosts whose first process reaps nobody.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return strings.Contains(string(stat), ") Z ")
}
