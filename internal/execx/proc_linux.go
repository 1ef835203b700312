package execx

import "syscall"

func sysProcAttr(cmd Cmd) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: !cmd.KeepGroup}
	if cmd.DieWithUs {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return attr
}
