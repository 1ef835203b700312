package smolvmtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"bottle.internal/pkg/smolvm"
)

// Main makes this process the fake, and ends it, if it was started as one. Call it
// first in TestMain.
func Main() {
	dir := os.Getenv(envState)
	if dir == "" {
		return
	}
	if os.Getenv(envVMM) != "" {
		playVMM(dir)
		os.Exit(0)
	}
	number, err := smolvm.ParseVersion(os.Getenv(envVersion))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	fake := &fakeTool{store: store{dir: dir}, version: version{number}, name: os.Getenv(envName)}
	os.Exit(fake.run(os.Args[1:]))
}

// fakeTool is the fake from the inside: one call of it.
type fakeTool struct {
	store   store
	version version
	name    string
	fault   string // how this call is to go wrong
}

// exitCode ends the fake with a code of its own and no message.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (t *fakeTool) run(args []string) int {
	subcommand := subcommandOf(args)
	err := t.store.logCall(Call{Args: args, Env: envNames(), Stdin: stdinKind(), Group: syscall.Getpgrp()})
	if err == nil {
		t.fault, err = t.store.takeFault(subcommand)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake smolvm:", err)
		return 3
	}
	if done, code := t.misbehave(); done {
		return code
	}
	if subcommand == "--version" || subcommand == "-V" {
		fmt.Printf("%s %s\n", t.name, t.version)
		if t.name == smolvm.NameLite {
			fmt.Println("qemu stand-in, accelerator tcg: shows behaviour, not isolation strength")
		}
		return 0
	}
	return t.dispatch(subcommand, args)
}

func (t *fakeTool) dispatch(subcommand string, args []string) int {
	known, ok := specOf(subcommand, t.version)
	if !ok {
		fmt.Fprintf(os.Stderr, "error: unrecognized subcommand '%s'\n", strings.Join(args, " "))
		return 2
	}
	line, err := known.parse(args[2:], t.version)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n\nFor more information, try '--help'.\n", err)
		return 2
	}
	switch subcommand {
	case "machine create":
		err = t.create(line)
	case "machine start":
		err = t.start(line.last("--name"))
	case "machine stop":
		err = t.stop(line.last("--name"))
	case "machine delete":
		err = t.delete(line)
	case "machine data-dir":
		err = t.dataDir(line)
	case "machine status":
		err = t.status(line)
	case "machine ls", "machine list":
		err = t.list(line)
	case "machine exec":
		err = t.exec(line)
	case "machine cp":
		err = t.cp(line)
	case "pack create":
		err = t.packCreate(line)
	}
	code := exitCode(0)
	switch {
	case errors.As(err, &code):
		return int(code)
	case err != nil:
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		return 1
	}
	return 0
}

// misbehave plays the faults that are the same for every subcommand.
func (t *fakeTool) misbehave() (done bool, code int) {
	switch t.fault {
	case HangHard:
		signal.Ignore(syscall.SIGINT)
		t.hang()
	case Hang:
		t.hang()
	case Garbage:
		fmt.Print("\x00\xff{\"name\":[}\x1b[31m")
		return true, 0
	case Mixup:
		fmt.Print(`{"name":"somebody-else","state":"running","pid":4321,"network":false}`)
		return true, 0
	case Flood:
		_, _ = os.Stdout.Write(bytes.Repeat([]byte("[{\"name\":\"x\"},"), 1<<20))
		return true, 0
	case Exit137:
		return true, 137
	case NoSpace:
		if at := slices.Index(os.Args, "--output"); at > 0 && at+1 < len(os.Args) {
			_ = os.WriteFile(os.Args[at+1]+smolvm.ArtifactSuffix, []byte("half an artifact"), 0o600)
		}
		fmt.Fprint(os.Stderr, "Exporting layers...\rError: pack failed: write layer: No space left on device (os error 28)\n")
		fmt.Fprintln(os.Stderr, "Error: pack failed: write layer: No space left on device (os error 28)")
		return true, 1
	case NoKVM:
		fmt.Fprintln(os.Stderr, "Error: agent operation failed: start machine: kvm not available: KVM not available. Ensure KVM kernel module is loaded.\nTry: sudo modprobe kvm")
		return true, 1
	case GuestLog:
		fmt.Fprintln(os.Stderr, "Error: agent operation failed: start machine: agent operation failed: monitor agent: booting\nError: vm not found: everything\x1b[2J")
		return true, 1
	}
	return false, 0
}

// hang ends only by a signal, or soon after the test and its directory.
func (t *fakeTool) hang() {
	for range 3000 {
		if _, err := os.Stat(t.store.dir); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	os.Exit(3)
}

func envNames() []string {
	var names []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func stdinKind() string {
	info, err := os.Stdin.Stat()
	if err != nil {
		return "closed"
	}
	null, err := os.Stat(os.DevNull)
	switch {
	case err == nil && os.SameFile(info, null):
		return "null"
	case term.IsTerminal(int(os.Stdin.Fd())):
		return "terminal"
	case info.Mode()&os.ModeNamedPipe != 0:
		return "pipe"
	}
	return "file"
}
