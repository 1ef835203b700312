//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestapi"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	shell := "/bin/sh"
	if _, err := os.Stat("/bin/bash"); err == nil {
		shell = "/bin/bash"
	}
	for _, test := range []struct {
		name string
		file map[string]string
		args []string
		env  []string
		want string
	}{
		{
			"defaults", nil, nil, nil,
			"HOME=DIR LOGNAME=agent PATH=" + defaultPath + " SHELL=" + shell + " USER=agent",
		},
		{
			"the image's", nil, nil,
			[]string{"LANG=C.UTF-8", "PATH=/bin", "HOME=/root", "TERM=xterm"},
			"HOME=DIR LANG=C.UTF-8 LOGNAME=agent PATH=/bin SHELL=" + shell + " TERM=xterm USER=agent",
		},
		{
			"the file over the image's, but not over who we are",
			map[string]string{"PATH": "/usr/bin:/bin", "TOKEN": "a b", "HOME": "/root", "USER": "root", "SHELL": "x", "LOGNAME": "x", "LANG": "C"},
			nil,
			[]string{"LANG=C.UTF-8", "PATH=/nowhere"},
			"HOME=DIR LANG=C LOGNAME=agent PATH=/usr/bin:/bin SHELL=" + shell + " TOKEN=a b USER=agent",
		},
		{
			"TERM of the host",
			map[string]string{"TERM": "dumb"},
			[]string{"--term", "screen"},
			[]string{"TERM=xterm"},
			"HOME=DIR LOGNAME=agent PATH=" + defaultPath + " SHELL=" + shell + " TERM=screen USER=agent",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t, test.file)
			args := append([]string{"exec", "--nonce", nonce, "--user", "agent", "--workdir", "/"}, test.args...)
			got := guestRun(t, dir, test.env, append(args, "--", "env", "-0")...)
			got.stdout = strings.ReplaceAll(strings.TrimSuffix(got.stdout, "\x00"), "\x00", " ")
			got.stdout = strings.Replace(got.stdout, dirVariable+"="+dir+" ", "", 1)
			if want := strings.ReplaceAll(test.want, "DIR", dir); got.stdout != want || got.code != 0 {
				t.Errorf("got  %s (%d, %s)\nwant %s", got.stdout, got.code, got.stderr, want)
			}
		})
	}
}

func TestEnvironmentFileIsChecked(t *testing.T) {
	t.Parallel()
	const refused = "bottle-guest: reading the environment: "
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"missing": {
			func(string) error { return nil },
			"PATH does not exist: the machine is not provisioned",
		},
		"readable by others": {
			func(path string) error { return os.WriteFile(path, []byte("{}"), 0o640) },
			"PATH has mode 0640, want 0600",
		},
		"symlink": {
			func(path string) error { return os.Symlink("/etc/passwd", path) },
			"open PATH: too many levels of symbolic links",
		},
		"directory": {
			func(path string) error { return os.Mkdir(path, 0o700) },
			"PATH is not a regular file",
		},
		"fifo": {
			func(path string) error { return unix.Mkfifo(path, 0o600) },
			"PATH is not a regular file",
		},
		"too large": {
			func(path string) error {
				return os.WriteFile(path, []byte(`{"A":"`+strings.Repeat("x", guestapi.MaxEnvSize)+`"}`), 0o600)
			},
			"PATH is larger than 1048576 bytes",
		},
		"broken": {
			func(path string) error { return os.WriteFile(path, []byte("hunter2"), 0o600) },
			"PATH: want a JSON object",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "env")
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			var other []string
			if os.Getuid() == 0 { // an agent that is not root, as in the machine
				other = []string{uidVariable + "=12345"}
			}
			got := guestRun(t, dir, other, execArgs("/", "true")...)
			want := refused + strings.ReplaceAll(test.want, "PATH", path) + "\n"
			if got.stderr != want || got.code != exitSelf {
				t.Errorf("got %d %q\nwant %q", got.code, got.stderr, want)
			}
		})
	}
}

// Provisioning itself runs as root before the file is there.
func TestRootNeedsNoEnvironmentFile(t *testing.T) {
	t.Parallel()
	root, agent := account{"root", 0, 0, "/root"}, account{"agent", 1000, 1000, "/home/agent"}
	if env, err := readEnv(filepath.Join(t.TempDir(), "env"), root); err != nil || len(env) != 0 {
		t.Errorf("root: %v, %v", env, err)
	}
	if _, err := readEnv(filepath.Join(t.TempDir(), "env"), agent); err == nil {
		t.Error("the agent was started without an environment")
	}
}

func TestParseEnv(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                         "",
		`{"A":"1","B":"{\"x\":[]}"}`: "",
		``:                           "want a JSON object",
		`[]`:                         "want a JSON object",
		`{"A":1}`:                    "the value of A is not a string without NUL",
		`{"A":{"B":"secret"}}`:       "the value of A is not a string without NUL",
		`{"A":"secret\u0000"}`:       "the value of A is not a string without NUL",
		`{"A":"1","A":"2"}`:          "A is there twice",
		`{"A=B":"secret"}`:           `"A=B" is no name of a variable`,
		`{"A":"1"`:                   "broken JSON",
		`{"A":"1"} x`:                "something follows the JSON object",
		`{"A":"1"}{}`:                "something follows the JSON object",
	} {
		_, err := parseEnv([]byte(in))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("parseEnv(%s) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add([]byte(`{"A":"1"}`))
	f.Add([]byte(`{"A":"1"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := parseEnv(data)
		if err != nil {
			return
		}
		for name, value := range env {
			if !guestapi.ValidEnvName(name) || strings.ContainsRune(value, 0) {
				t.Errorf("%q=%q was accepted", name, value)
			}
		}
	})
}
