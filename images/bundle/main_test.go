//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/daemons"
	"bottle.internal/tests/fakenet"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	live, dead := fakenet.Listen(t), fakenet.FreeAddr(t)
	for _, test := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"", 2, "", usage},
		{"help", 0, usage, ""},
		{"sh", 2, "", "bundle: unknown command \"sh\"\n" + usage},
		{"init now", 1, "", "bundle init: unexpected argument \"now\"\n"},
		{"dial", 2, "", "bundle dial: want HOST:PORT\n"},
		{"dial nowhere", 2, "", "bundle dial: \"nowhere\" is not HOST:PORT\n"},
		{"dial :80", 2, "", "bundle dial: \":80\" is not HOST:PORT\n"},
		{"dial " + live.Addr().String(), 0, "ok " + live.Addr().String() + "\n", ""},
		{"dial " + dead, 1, "refused " + dead + ": connect: connection refused\n", ""},
		{"dial " + dead + " " + live.Addr().String() + "=00ff", 1, "refused " + dead + ": connect: connection refused\nok " + live.Addr().String() + "\n", ""},
		{"dial " + live.Addr().String() + "=xy", 2, "", "bundle dial: \"" + live.Addr().String() + "=xy\" is not HOST:PORT\n"},
		{"echo loudly", 2, "", "bundle echo: unexpected argument \"loudly\"\n"},
		{"firewall --listen 0.0.0.0:1", 2, "", "bundle: unknown command \"firewall\"\n" + usage},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(strings.Fields(test.args), nil, &stdout, &stderr)
			if code != test.code || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("run = %d\nstdout: %s\nstderr: %s", code, &stdout, &stderr)
			}
		})
	}
}

func TestDaemonsAreWhole(t *testing.T) {
	t.Parallel()
	if len(all()) != len(daemons.All()) {
		t.Errorf("%d daemons, want %d", len(all()), len(daemons.All()))
	}
	for _, d := range all() {
		if d.Name == "" || d.Health == "" || len(d.Args) != 1 || d.Args[0] != d.Name || d.UID == 0 {
			t.Errorf("daemon %+v", d)
		}
	}
}

// What a daemon is told stays in its memory: nobody can attach to it, and a crash writes no
// core file.
func TestHarden(t *testing.T) {
	t.Parallel()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	off := limit.Max == 0 // for good: then nothing shows who did it
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: limit.Max, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	if err := harden(); err != nil {
		t.Fatal(err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); dumpable != 0 || err != nil {
		t.Errorf("it can be dumped: %d, %v", dumpable, err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core files have at most %d, %d bytes, %v", limit.Cur, limit.Max, err)
	}
	if off {
		t.Skip("core files were off already: only that nobody can attach was tested")
	}
}
