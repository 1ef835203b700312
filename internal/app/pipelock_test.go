package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Nothing vouches for the operator's own program, so its hash has to be named; each refusal
// says what to type.
func TestSuppliedPipelock(t *testing.T) {
	const program = "#!/bin/sh\n"
	sum := sha256.Sum256([]byte(program))
	hash := hex.EncodeToString(sum[:])
	const builtin = "use the builtin firewall: unset PIPELOCK_BIN"
	home := t.TempDir()
	path := filepath.Join(home, "pipelock")
	if err := os.WriteFile(path, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	trust := "if that is the pipelock that you trust: export PIPELOCK_SHA256=" + hash
	for name, test := range map[string]struct {
		environ []string
		want    string // the error; "" for the file
		hints   []string
	}{
		"with its hash": {[]string{"PIPELOCK_BIN=" + path, "PIPELOCK_SHA256=" + hash}, "", nil},
		"relative to the working directory": {
			[]string{"PIPELOCK_BIN=./pipelock", "PIPELOCK_SHA256=" + hash}, "", nil,
		},
		"no hash": {
			[]string{"PIPELOCK_BIN=" + path},
			path + " has the sha256 " + hash + `, and PIPELOCK_SHA256 says ""`,
			[]string{trust, builtin},
		},
		"another hash": {
			[]string{"PIPELOCK_BIN=" + path, "PIPELOCK_SHA256=abc"},
			path + " has the sha256 " + hash + `, and PIPELOCK_SHA256 says "abc"`,
			[]string{trust, builtin},
		},
		"not there": {
			[]string{"PIPELOCK_BIN=" + path + "x", "PIPELOCK_SHA256=" + hash},
			"reading PIPELOCK_BIN: open " + path + "x: no such file or directory",
			[]string{builtin},
		},
		"a directory": {
			[]string{"PIPELOCK_BIN=" + home, "PIPELOCK_SHA256=" + hash},
			"reading PIPELOCK_BIN: " + home + " is no regular file",
			[]string{builtin},
		},
		"a device": {
			[]string{"PIPELOCK_BIN=/dev/null", "PIPELOCK_SHA256=" + hash},
			"reading PIPELOCK_BIN: /dev/null is no regular file",
			[]string{builtin},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, test.environ...)
			a.config.Dir = home
			files, err := a.supplied()
			if a.firewallEngine() != "pipelock" {
				t.Error("another engine")
			}
			if test.want == "" {
				if file := files["pipelock"]; err != nil || len(files) != 1 || file.Path != path || file.SHA256 != hash || file.Size != int64(len(program)) {
					t.Errorf("supplied() = %+v, %v", files, err)
				}
				return
			}
			var problem *Problem
			if !errors.As(err, &problem) || err.Error() != test.want || !slices.Equal(problem.HintLines(), test.hints) || files != nil {
				t.Errorf("supplied() = %v, %v; want %q\nhints %q", files, err, test.want, problem.HintLines())
			}
		})
	}
}

// A pipe must not hang the start: nobody writes to it.
func TestSuppliedPipelockIsAPipe(t *testing.T) {
	path := pipe(t)
	a := newApp(t, "PIPELOCK_BIN="+path)
	if _, err := a.supplied(); err == nil || err.Error() != "reading PIPELOCK_BIN: "+path+" is no regular file" {
		t.Errorf("supplied() = %v", err)
	}
}

func TestWithoutPipelockTheEngineIsBuiltin(t *testing.T) {
	a := newApp(t, "PIPELOCK_SHA256=abc")
	if files, err := a.supplied(); a.firewallEngine() != "builtin" || files != nil || err != nil {
		t.Errorf("engine %s, %v, %v", a.firewallEngine(), files, err)
	}
}
