//go:build linux

package initd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that init has for as long as it lives: it starts daemons again
// under users of their own, and ends them.
const needed = 1<<unix.CAP_KILL | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID

// Confined refuses to be an init with more power than that: an engine that did not take it
// away has not understood what it was told.
func Confined() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("looking at init's own capabilities: %w", err)
	}
	return confined(string(status))
}

func confined(status string) error {
	seen := 0
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case slices.Contains([]string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}, name):
			set, err := strconv.ParseUint(value, 16, 64)
			if err != nil || set&^needed != 0 {
				return fmt.Errorf("init has %s %s: it must have no more than KILL, SETGID and SETUID", name, value)
			}
			seen++
		case name == "NoNewPrivs":
			if value != "1" {
				return errors.New("init could get more privileges: no-new-privileges is off")
			}
			seen++
		}
	}
	if seen != 6 {
		return fmt.Errorf("init's own status says %d of 6 things about its privileges", seen)
	}
	return nil
}
