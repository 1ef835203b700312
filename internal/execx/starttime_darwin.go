package execx

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// StartTime reads when a process started and whether it is more than a zombie. ok is
// false if that cannot be read.
func StartTime(pid int) (start string, alive, ok bool) {
	const zombie = 5 // SZOMB of sys/proc.h
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid {
		return "", false, false
	}
	started := info.Proc.P_starttime
	return fmt.Sprintf("%d.%d", started.Sec, started.Usec), info.Proc.P_stat != zombie, true
}
