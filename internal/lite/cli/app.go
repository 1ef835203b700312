//go:build linux

// Package cli is the command line of smolvm-lite: the part of smolvm 1.9's flags,
// texts, JSON and exit codes that this project uses, over QEMU instead of libkrun.
//
// Usage errors go to stderr with exit 2, failures as "Error: ..." with exit 1, and
// exec exits with the command's own code.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"bottle.internal/internal/lite/store"
)

// version is that of the smolvm whose command line this follows.
const version = "1.9.3"

// App is one call of the program.
type App struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Self   string // path of this program, which starts itself as the supervisor
}

// exitError ends the program with a code and no text of its own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is what clap reports with exit 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// Run executes one command line, without the program's name, and returns the exit code.
func (a *App) Run(ctx context.Context, args []string) int {
	err := a.dispatch(ctx, args)
	var (
		exit  exitError
		usage *usageError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(a.Stderr, "error: %s\n\nFor more information, try '--help'.\n", usage.text)
		return 2
	}
	_, _ = fmt.Fprintf(a.Stderr, "Error: %s\n", err)
	return 1
}

type handler func(context.Context, []string) error

func (a *App) dispatch(ctx context.Context, args []string) error {
	name, rest := "", []string(nil)
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	switch name {
	case "--version", "-V":
		return a.printVersion()
	case "--help", "-h", "help":
		return a.print(help)
	case "machine", "vm":
		return a.group(ctx, rest, machineHelp, map[string]handler{
			"create": a.create, "start": a.start, "stop": a.stop, "delete": a.delete, "rm": a.delete,
			"status": a.status, "ls": a.list, "list": a.list, "exec": a.exec, "shell": a.shell, "sh": a.shell,
			"cp": a.copyFile, "data-dir": a.dataDir,
		})
	case "pack":
		return a.group(ctx, rest, packHelp, map[string]handler{"create": a.packCreate})
	case superviseCommand:
		return a.supervise(ctx, rest)
	case "":
		return &usageError{"'smolvm-lite' requires a subcommand but one was not provided"}
	}
	return unrecognized(name)
}

func unrecognized(name string) error {
	if len(name) > 1 && name[0] == '-' {
		return &usageError{fmt.Sprintf("unexpected argument '%s' found", name)}
	}
	return &usageError{fmt.Sprintf("unrecognized subcommand '%s'", name)}
}

func (a *App) group(ctx context.Context, args []string, text string, commands map[string]handler) error {
	if len(args) == 0 {
		return &usageError{"a subcommand is required"}
	}
	switch args[0] {
	case "--help", "-h", "help":
		return a.print(text)
	}
	run := commands[args[0]]
	if run == nil {
		return unrecognized(args[0])
	}
	return run(ctx, args[1:])
}

func (a *App) print(text string) error {
	_, err := io.WriteString(a.Stdout, text)
	return err
}

func (a *App) printVersion() error {
	accel := "unknown"
	if prober, err := a.prober(); err == nil {
		if cached, ok := prober.Cached(); ok {
			accel = string(cached)
		}
	}
	return a.print("smolvm-lite " + version + "\n" +
		"qemu stand-in, accelerator " + accel + ": shows behaviour, not isolation strength\n")
}

func (a *App) store() (*store.Store, error) {
	paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	return store.New(paths.machines), nil
}

// open finds a machine for every command but create.
func (a *App) open(name string) (*store.Store, store.Dir, error) {
	machines, err := a.store()
	if err != nil {
		return nil, "", err
	}
	dir, err := machines.Open(name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", notFound(name)
	}
	return machines, dir, err
}

func notFound(name string) error { return fmt.Errorf("%w: %s", store.ErrNotFound, name) }

const goarch = runtime.GOARCH
