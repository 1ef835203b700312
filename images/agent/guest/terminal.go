//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestapi"
)

// terminal is our standard input, if it is one.
type terminal struct {
	present     bool
	controlling bool // job control works: the command gets the foreground
}

// openTerminal sets the first size before the command can see another one. It comes
// before we listen to signals.
func openTerminal(o options) terminal {
	if _, err := unix.IoctlGetTermios(unix.Stdin, unix.TCGETS); err != nil {
		return terminal{}
	}
	if o.rows != 0 && o.cols != 0 {
		// We are told about it as well, and must not pass that on to the command.
		signal.Ignore(unix.SIGWINCH)
		_ = unix.IoctlSetWinsize(unix.Stdin, unix.TIOCSWINSZ, &unix.Winsize{Row: o.rows, Col: o.cols})
	}
	t := terminal{present: true}
	_, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP)
	if err != nil {
		// Not our controlling terminal. Whoever started us without a session of our own
		// left that to us; where it is impossible, the command runs without job control.
		if _, err = unix.Setsid(); err == nil {
			err = unix.IoctlSetInt(unix.Stdin, unix.TIOCSCTTY, 0)
		}
	}
	t.controlling = err == nil
	return t
}

// resume continues a stopped command and makes sure that it has the foreground.
func (t terminal) resume(pid int) {
	t.foreground(pid)
	_ = unix.Kill(-pid, unix.SIGCONT)
}

// foreground gives the terminal to a process group. We are in the background while
// the command runs, and must not be stopped for writing or for saying so; but not
// before the command runs: it would inherit that.
func (t terminal) foreground(group int) {
	if t.controlling {
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetPointerInt(unix.Stdin, unix.TIOCSPGRP, group)
	}
}

// isSessionPath reports whether name is /proc/PID/fd/0: it goes through our own process, so
// that it ends when we end and never names a terminal that somebody else got later.
func isSessionPath(name string) bool {
	pid, proc := strings.CutPrefix(name, "/proc/")
	pid, stdin := strings.CutSuffix(pid, "/fd/0")
	number, err := strconv.ParseUint(pid, 10, 32)
	return proc && stdin && err == nil && number > 0 && strconv.FormatUint(number, 10) == pid
}

// remember writes down how to reach the terminal for winsize.
func (t terminal) remember(dir, session string) (forget func(), err error) {
	if session == "" || !t.present {
		return func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("remembering session %s: %w", session, err)
	}
	name := filepath.Join(dir, session)
	temp := fmt.Sprintf("%s.%d", name, os.Getpid())
	err = os.WriteFile(temp, fmt.Appendf(nil, "/proc/%d/fd/0\n", os.Getpid()), 0o600)
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		_ = os.Remove(temp)
		return nil, fmt.Errorf("remembering session %s: %w", session, err)
	}
	return func() { _ = os.Remove(name) }, nil
}

// winsizeCommand resizes the terminal of a session.
func winsizeCommand(args []string, m machine) error {
	flags := newFlags("winsize")
	if err := flags.Parse(args); err != nil {
		return usageError{err.Error()}
	}
	args = flags.Args()
	if len(args) != 3 || !guestapi.ValidSession(args[0]) {
		return usageError{"winsize: want a session, rows and columns"}
	}
	rows, cols, err := parseSize(args[1], args[2])
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(m.sessionDir, args[0]))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resizing session %s: there is no such session", args[0])
	}
	if err != nil {
		return fmt.Errorf("resizing session %s: %w", args[0], err)
	}
	name := strings.TrimSuffix(string(data), "\n")
	if !isSessionPath(name) {
		return fmt.Errorf("resizing session %s: %.40q is no terminal", args[0], name)
	}
	file, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0) //nolint:gosec // G703: checked above
	if err != nil {
		return fmt.Errorf("resizing session %s: %w", args[0], err)
	}
	defer file.Close()
	if err := unix.IoctlSetWinsize(int(file.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		return fmt.Errorf("resizing session %s: %w", args[0], err)
	}
	return nil
}

// giveStdio lets the command open /dev/stdout, /dev/tty and the like again, which the
// kernel checks against the owner of the pipe or terminal.
func giveStdio(uid int) {
	for _, fd := range []int{unix.Stdin, unix.Stdout, unix.Stderr} {
		var stat unix.Stat_t
		if unix.Fstat(fd, &stat) != nil {
			continue
		}
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil || stat.Mode&unix.S_IFMT == unix.S_IFIFO {
			_ = unix.Fchown(fd, uid, -1)
		}
	}
}
