//go:build linux

package guest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/lite/wire"
)

// stopGrace is what processes get between SIGTERM and SIGKILL at power off.
const stopGrace = 700 * time.Millisecond

// machine is the System of a real guest.
type machine struct{}

func (machine) Setup(boot wire.Boot) error {
	var up unix.Timespec
	if boot.UnixNano > 0 && unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) == nil {
		// The host wrote its time down when it started us; an emulated boot takes seconds.
		now := unix.NsecToTimespec(boot.UnixNano + up.Nano())
		_ = unix.ClockSettime(unix.CLOCK_REALTIME, &now) // the RTC's second is the fallback
	}
	if err := unix.Sethostname([]byte(boot.Hostname)); err != nil {
		return fmt.Errorf("setting the hostname: %w", err)
	}
	return nil
}

func (machine) Stop() {
	terminateAll(stopGrace)
	powerOff()
}

func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// hasChildren looks without reaping: that is the reaper's alone.
func hasChildren() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return !errors.Is(err, unix.ECHILD)
}

// writeIfEmpty gives an image without a file of the system a usable one.
func writeIfEmpty(path, content string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
