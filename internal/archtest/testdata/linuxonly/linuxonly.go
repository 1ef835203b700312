// Package linuxonly does not compile for macOS: see TestDarwinCheckSeesErrors.
package linuxonly

import "golang.org/x/sys/unix"

// Hide is a call that only Linux has.
func Hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
