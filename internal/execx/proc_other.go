//go:build !linux

package execx

import "syscall"

func sysProcAttr(cmd Cmd) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !cmd.KeepGroup}
}
