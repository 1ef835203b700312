//go:build linux

package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"bottle.internal/internal/daemons"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	live, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = live.Close() })
	dead, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()

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
		{"dial " + dead.Addr().String(), 1, "refused " + dead.Addr().String() + ": connect: connection refused\n", ""},
		{"dial " + dead.Addr().String() + " " + live.Addr().String() + "=00ff", 1, "refused " + dead.Addr().String() + ": connect: connection refused\nok " + live.Addr().String() + "\n", ""},
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
