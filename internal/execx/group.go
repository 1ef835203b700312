package execx

import (
	"os/exec"
	"syscall"
)

func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	if cmd.SysProcAttr.Setpgid {
		return syscall.Kill(-cmd.Process.Pid, signal)
	}
	return cmd.Process.Signal(signal)
}

// killGroup ends whatever the program left behind. The group id stays ours until the
// last member is gone, so a recycled pid cannot be hit while there is one.
func killGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return
	}
	_ = cmd.Process.Kill() // knows whether the process was reaped
}
