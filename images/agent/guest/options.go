//go:build linux

package main

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"bottle.internal/internal/guestapi"
)

// options are the checked command line of exec.
type options struct {
	nonce      guestapi.Nonce
	account    account
	workdir    string
	session    string
	term       string
	rows, cols uint16
	command    []string
}

func parseOptions(args []string, accounts map[string]account) (options, error) {
	flags := newFlags("exec")
	nonce := flags.String("nonce", "", "")
	user := flags.String("user", "", "")
	workdir := flags.String("workdir", "", "")
	session := flags.String("session", "", "")
	term := flags.String("term", "", "")
	rows := flags.String("rows", "0", "")
	cols := flags.String("cols", "0", "")
	if err := flags.Parse(args); err != nil {
		return options{}, usageError{err.Error()}
	}
	// The copy outlives hideNonce, which wipes the original.
	parsed, err := guestapi.ParseNonce(strings.Clone(*nonce))
	if err != nil {
		return options{}, usageError{err.Error()}
	}
	o := options{nonce: parsed, workdir: *workdir, session: *session, term: *term, command: flags.Args()}
	var known bool
	if o.account, known = accounts[*user]; !known {
		return options{}, usageError{fmt.Sprintf("user %q: want agent or root", *user)}
	}
	if o.rows, o.cols, err = parseSize(*rows, *cols); err != nil {
		return options{}, err
	}
	switch {
	case !path.IsAbs(o.workdir):
		err = usageError{fmt.Sprintf("workdir %q: want an absolute path", o.workdir)}
	case o.session != "" && !guestapi.ValidSession(o.session):
		err = usageError{fmt.Sprintf("session %q: want a-z, 0-9 and -", o.session)}
	case o.term != "" && !guestapi.ValidTerm(o.term):
		err = usageError{fmt.Sprintf("term %q: want the name of a terminal", o.term)}
	case len(o.command) == 0 || o.command[0] == "":
		err = usageError{"no command to execute"}
	}
	return o, err
}

// parseSize reads the rows and columns of a terminal.
func parseSize(rows, cols string) (r, c uint16, err error) {
	var size [2]uint16
	for i, text := range []string{rows, cols} {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, 0, usageError{fmt.Sprintf("terminal size %q: want a number from 0 to 65535", text)}
		}
		size[i] = uint16(n)
	}
	return size[0], size[1], nil
}

// hideNonce overwrites the nonce in the memory that /proc/PID/cmdline shows, so that
// the command, which is not root, cannot read it there and forge its own exit frame.
// args must be os.Args: on Linux the runtime lets those strings point to that memory.
func hideNonce(args []string, nonce guestapi.Nonce) {
	for _, arg := range args {
		at := strings.Index(arg, string(nonce))
		if at < 0 {
			continue
		}
		memory := unsafe.Slice(unsafe.StringData(arg), len(arg)) //nolint:gosec // G103: see above
		for i := range len(nonce) {
			memory[at+i] = 'x'
		}
	}
}
