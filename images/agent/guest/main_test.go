//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guest/receive"
	"bottle.internal/internal/guestapi"
)

const nonce = "0123456789abcdef"

// The test binary is bottle-guest itself when this variable names its directory.
const (
	dirVariable = "BOTTLE_GUEST_TEST"
	uidVariable = "BOTTLE_GUEST_TEST_UID" // the agent's, else our own
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirVariable); dir != "" {
		os.Exit(run(os.Args[1:], testMachine(dir), os.Stderr))
	}
	os.Exit(m.Run())
}

func testMachine(dir string) machine {
	uid, gid := os.Getuid(), os.Getgid()
	if other, err := strconv.Atoi(os.Getenv(uidVariable)); err == nil {
		uid, gid = other, other
	}
	return machine{
		envFile: filepath.Join(dir, "env"), sessionDir: filepath.Join(dir, "session"), socketDir: dir,
		rescan: 5 * time.Millisecond,
		place:  receive.Place{Root: dir, Chown: func(string, int, int) error { return nil }},
		accounts: map[string]account{
			guestapi.RootUser:  {guestapi.RootUser, 0, 0, "/root"},
			guestapi.AgentUser: {guestapi.AgentUser, uid, gid, dir},
		},
	}
}

// newDir is a machine's directory with an environment file.
func newDir(t *testing.T, env map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if env == nil {
		env = map[string]string{}
	}
	data, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "env"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func execArgs(workdir string, command ...string) []string {
	return append([]string{"exec", "--nonce", nonce, "--user", "agent", "--workdir", workdir, "--"}, command...)
}

type result struct {
	stdout, stderr string
	code           int
}

// guestRun runs bottle-guest as a process of its own.
func guestRun(t *testing.T, dir string, extraEnv []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := execx.Run(t.Context(), execx.Cmd{
		Path: self(t), Args: args, Env: append([]string{dirVariable + "=" + dir}, extraEnv...),
		Stdout: &stdout, Stderr: &stderr,
	})
	code := 0
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) {
		code = exit.Code
	} else if err != nil {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), code}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	good := func(change map[string]string) []string {
		args := []string{"exec"}
		for _, pair := range [][2]string{{"nonce", nonce}, {"user", "agent"}, {"workdir", "/"}, {"session", "s"}, {"term", "xterm"}, {"rows", "1"}, {"cols", "1"}} {
			value, changed := change[pair[0]]
			if !changed {
				value = pair[1]
			}
			args = append(args, "--"+pair[0], value)
		}
		return append(args, "--", "true")
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "no command given"},
		{[]string{"serve", "now"}, "serve: takes no arguments"},
		{[]string{"serve", "--port", "1"}, "serve: takes no arguments"},
		{[]string{"exec"}, `nonce "": want 16 digits from 0-9a-f`},
		{[]string{"exec", "--uid", "0"}, "flag provided but not defined: -uid"},
		{good(map[string]string{"nonce": "0123456789ABCDEF"}), `nonce "0123456789ABCDEF": want 16 digits from 0-9a-f`},
		{good(map[string]string{"user": "nobody"}), `user "nobody": want agent or root`},
		{good(map[string]string{"workdir": "work"}), `workdir "work": want an absolute path`},
		{good(map[string]string{"session": "../x"}), `session "../x": want a-z, 0-9 and -`},
		{good(map[string]string{"term": "a b"}), `term "a b": want the name of a terminal`},
		{good(map[string]string{"rows": "70000"}), `terminal size "70000": want a number from 0 to 65535`},
		{good(map[string]string{"cols": "-1"}), `terminal size "-1": want a number from 0 to 65535`},
		{execArgs("/"), "no command to execute"},
		{execArgs("/", ""), "no command to execute"},
		{[]string{"provision", "--nonce", nonce}, "want one port"},
		{[]string{"provision", "--nonce", nonce, "1", "2"}, "want one port"},
		{[]string{"provision", "--nonce", "x", "1"}, `nonce "x": want 16 digits from 0-9a-f`},
		{[]string{"provision", "--force"}, "flag provided but not defined: -force"},
		{[]string{"winsize", "s", "1"}, "winsize: want a session, rows and columns"},
		{[]string{"winsize", "../s", "1", "1"}, "winsize: want a session, rows and columns"},
		{[]string{"winsize", "s", "x", "1"}, `terminal size "x": want a number from 0 to 65535`},
	} {
		var stderr strings.Builder
		code := run(test.args, testMachine(t.TempDir()), &stderr)
		if want := "bottle-guest: " + test.want + "\n" + usage; code != 2 || stderr.String() != want {
			t.Errorf("%q: code %d, %q; want %q", test.args, code, stderr.String(), test.want)
		}
	}
}
