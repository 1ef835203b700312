package smolvm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

func TestExecKeepsOurTerminal(t *testing.T) {
	t.Parallel()
	terminal, ours, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	defer terminal.Close()
	defer ours.Close()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	options := smolvm.ExecOptions{Name: "demo", Command: []string{"sh", "-c", "test -t 0 && test -t 1 && test -t 2"}, Stdin: ours, Stdout: ours, Stderr: ours}
	for _, tty := range []bool{true, false} {
		options.TTY = tty
		code, err := b.client.Exec(t.Context(), options)
		if code != 0 || err != nil {
			t.Errorf("tty %t: exit code %d, %v", tty, code, err)
		}
		last := b.Calls()[len(b.Calls())-1]
		if slices.Contains(last.Args, "-t") != tty || last.Stdin != "terminal" || last.Group != syscall.Getpgrp() {
			t.Errorf("tty %t: %+v; our group is %d", tty, last, syscall.Getpgrp())
		}
	}
	if err := b.client.Stop(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	for _, options.TTY = range []bool{true, false} {
		if code, err := b.client.Exec(t.Context(), options); !errors.Is(err, smolvm.ErrNotRunning) {
			t.Errorf("tty %t: a stopped machine: exit code %d, %v", options.TTY, code, err)
		}
	}
}

func TestExecInput(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for want, options := range map[string]smolvm.ExecOptions{
		"null": {}, "pipe": {Stdin: strings.NewReader("from a reader")}, "file": {Stdin: opened},
	} {
		var out bytes.Buffer
		options.Name, options.Command, options.Stdout = "demo", []string{"cat"}, &out
		if code, err := b.client.Exec(t.Context(), options); code != 0 || err != nil {
			t.Errorf("%s: exit code %d, %v", want, code, err)
		}
		last := b.Calls()[len(b.Calls())-1]
		if last.Stdin != want || last.Group == syscall.Getpgrp() || !strings.HasSuffix(map[string]string{
			"null": "", "pipe": "from a reader", "file": "from a file",
		}[want], out.String()) || (want != "null") != (out.Len() > 0) {
			t.Errorf("%s: %+v, output %q", want, last, out.String())
		}
	}
}

// TestExecStateComesFromStatus: text asks the question, status answers it.
func TestExecStateComesFromStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	run := func(script string) (int, []string, error) {
		before := len(b.Calls())
		code, err := b.client.Exec(t.Context(), smolvm.ExecOptions{Name: "demo", Command: []string{"sh", "-c", script}})
		return code, b.Subcommands()[before:], err
	}
	if code, calls, err := run("exit 1"); code != 1 || err != nil || len(calls) != 1 {
		t.Errorf("a plain exit 1: %d, %v, %q", code, calls, err)
	}
	if code, calls, err := run("echo 'Error: vm not found: demo' >&2; exit 1"); code != 1 || err != nil || len(calls) != 2 {
		t.Errorf("a guest that claims to be gone: %d, %v, %q", code, calls, err)
	}
	if code, calls, err := run("echo 'Error: vm not found: demo' >&2; exit 3"); code != 3 || err != nil || len(calls) != 1 {
		t.Errorf("the tool never exits with 3: %d, %v, %q", code, calls, err)
	}
	if err := b.client.Stop(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	code, calls, err := run("true")
	const want = `running a program in machine demo: machine is not running: it is "stopped"`
	if code != -1 || text(err) != want || !errors.Is(err, smolvm.ErrNotRunning) || len(calls) != 2 {
		t.Errorf("a stopped machine: %d, %v, %q", code, calls, err)
	}
}

func TestWaitReady(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	b.Fail("machine exec", smolvmtest.Exit137, 1)
	before := len(b.Calls())
	if err := b.client.WaitReady(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if got := b.Subcommands()[before:]; len(got) != 2 {
		t.Errorf("137 once: %q", got)
	}
	b.Fail("machine exec", smolvmtest.Exit137, 4)
	if err := b.client.WaitReady(t.Context(), "demo"); err != nil {
		t.Errorf("137 four times: %v", err)
	}
	b.Fail("machine exec", smolvmtest.Exit137, -1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := b.client.WaitReady(ctx, "demo")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(text(err), "waiting for machine demo: context deadline exceeded (") {
		t.Errorf("137 for ever: %v", err)
	}
}

func TestCopyOutIsAtomic(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	local := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(local, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.client.CopyOut(t.Context(), "demo", "/missing", local); err == nil {
		t.Error("a missing file could be copied")
	}
	b.Fail("machine cp", smolvmtest.Hang, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.client.CopyOut(ctx, "demo", "/missing", local); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a copy that hangs: %v", err)
	}
	if data, err := os.ReadFile(local); err != nil || string(data) != "before" {
		t.Errorf("the file is %q, %v", data, err)
	}
	entries, err := os.ReadDir(filepath.Dir(local))
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
