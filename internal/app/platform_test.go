package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Where the engines of each system listen, whatever system this test runs on.
func TestEngineSockets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, goos, home string
		environ          map[string]string
		want             []string
	}{
		{
			"a Mac", "darwin", "/Users/me", nil,
			[]string{
				"/Users/me/.docker/run/docker.sock", "/Users/me/.colima/default/docker.sock",
				"/Users/me/.orbstack/run/docker.sock", "/Users/me/.rd/docker.sock",
			},
		},
		{
			"Colima elsewhere", "darwin", "/Users/me",
			map[string]string{"COLIMA_HOME": "/opt/colima", "XDG_CONFIG_HOME": "/Users/me/.config"},
			[]string{
				"/Users/me/.docker/run/docker.sock", "/opt/colima/default/docker.sock", "/Users/me/.colima/default/docker.sock",
				"/Users/me/.config/colima/default/docker.sock", "/Users/me/.orbstack/run/docker.sock", "/Users/me/.rd/docker.sock",
			},
		},
		{"Linux", "linux", "/home/me", nil, []string{"/home/me/.docker/desktop/docker.sock", "/home/me/.colima/default/docker.sock"}},
		{
			"a rootless engine", "linux", "/home/me",
			map[string]string{"XDG_RUNTIME_DIR": "/run/user/1"},
			[]string{"/run/user/1/docker.sock", "/home/me/.docker/desktop/docker.sock", "/home/me/.colima/default/docker.sock"},
		},
	} {
		getenv := func(name string) string { return test.environ[name] }
		if got := engineSockets(test.goos, test.home, getenv); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// The stand-in is Linux's alone; elsewhere a person is told what to install, before anything
// is built.
func TestTheStandInByItsSystem(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]string{
		"linux":  "<nil>",
		"darwin": "smolvm is not on PATH, and its stand-in smolvm-lite runs on Linux only",
	} {
		if err := liteRuns(goos); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", goos, err, want)
		}
	}
}

func TestAMacWithoutSmolvm(t *testing.T) {
	a := newApp(t, "BOTTLE_SMOLVM=")
	a.config.OS = "darwin"
	a.source = "/nonexistent/checkout" // nothing is built
	_, _, err := a.buildLite(context.Background())
	problem := (*Problem)(nil)
	if !errors.As(err, &problem) || !strings.Contains(strings.Join(problem.HintLines(), "\n"), "install smolvm 1.8.1") {
		t.Errorf("buildLite = %v", err)
	}
}

// macOS keeps the same directories: what the documentation says is true there too, and paths
// of sockets stay short.
func TestDirectoriesByEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		want    dirs
	}{
		{[]string{"HOME=/Users/me"}, dirs{"/Users/me", "/Users/me/.cache/bottle", "/Users/me/.local/state/bottle", "/Users/me/.local/share", "/Users/me/.config/bottle"}},
		{[]string{"HOME=/home/me", "XDG_STATE_HOME=/s", "XDG_CACHE_HOME=relative"}, dirs{"/home/me", "/home/me/.cache/bottle", "/s/bottle", "/home/me/.local/share", "/home/me/.config/bottle"}},
	} {
		if got, err := (Config{Environ: test.environ}).dirs(); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v", test.environ, got, err)
		}
	}
}
