//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestapi"
)

// startError says that the command could not be started, with its shell exit code.
type startError struct {
	code int
	text string
}

func (e startError) Error() string { return e.text }

// execCommand runs the command to its end and prints the exit frame. An error means
// that there is no frame, because the failure is not the command's.
func execCommand(args []string, m machine, stderr io.Writer) (int, error) {
	o, err := parseOptions(args, m.accounts)
	if err != nil {
		return 0, err
	}
	hideNonce(os.Args, o.nonce)
	if uid := os.Geteuid(); uid != 0 && uid != o.account.uid {
		return 0, fmt.Errorf("becoming %s: bottle-guest runs as uid %d, want root", o.account.name, uid)
	}
	env, err := readEnv(m.envFile, o.account)
	if err != nil {
		return 0, err
	}
	code, err := runChild(o, m, environ(o, env, os.Environ()))
	if failed := (startError{}); errors.As(err, &failed) {
		fmt.Fprintf(stderr, "bottle-guest: %v\n", err)
		code, err = failed.code, nil
	}
	if err != nil {
		return 0, err
	}
	// The command may have left our stderr in non-blocking mode, as Node does.
	_ = unix.SetNonblock(unix.Stderr, false)
	if _, err := io.WriteString(stderr, guestapi.Frame(o.nonce, code)); err != nil {
		return 0, fmt.Errorf("reporting the exit code: %w", err)
	}
	return code, nil
}

// runChild starts the command as a child and waits for it.
func runChild(o options, m machine, env []string) (int, error) {
	program, err := findProgram(o, env)
	if err != nil {
		return 0, err
	}
	// The child is killed when the thread that made it ends: this one must stay.
	runtime.LockOSThread()
	tty := openTerminal(o)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH)
	defer signal.Stop(signals)
	forget, err := tty.remember(m.sessionDir, o.session)
	if err != nil {
		return 0, err
	}
	defer forget()
	attr := &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if tty.controlling {
		attr.Foreground, attr.Ctty = true, unix.Stdin
	}
	if os.Geteuid() != o.account.uid {
		giveStdio(o.account.uid)
		attr.Credential = &syscall.Credential{Uid: uint32(o.account.uid), Gid: uint32(o.account.gid)}
	}
	pid, err := syscall.ForkExec(program, o.command, &syscall.ProcAttr{ //nolint:gosec // G702: running commands is its purpose
		Dir: o.workdir, Env: env, Files: []uintptr{0, 1, 2}, Sys: attr,
	})
	if err != nil {
		return 0, explainStart(o, err)
	}
	stopForwarding := forward(signals, pid, tty)
	code, err := wait(pid, tty)
	stopForwarding()
	tty.foreground(unix.Getpgrp()) // the exit frame comes next
	return code, err
}

// forward passes signals on until the returned function is called. On a terminal the
// command has a process group of its own; elsewhere it shares ours, and whoever
// signals the group reaches it anyway.
func forward(signals <-chan os.Signal, pid int, tty terminal) (stop func()) {
	target := pid
	if tty.controlling {
		target = -pid
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if number, ok := s.(syscall.Signal); ok {
					_ = unix.Kill(target, number)
				}
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func wait(pid int, tty terminal) (int, error) {
	flags := 0
	if tty.controlling {
		flags = unix.WUNTRACED
	}
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, flags, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for the command: %w", err)
		case status.Stopped():
			// There is no shell above us that could say "fg".
			tty.resume(pid)
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}

// findProgram looks the command up in the PATH that the command will see.
func findProgram(o options, env []string) (string, error) {
	if info, err := os.Stat(o.workdir); err != nil || !info.IsDir() {
		return "", startError{exitNotExec, fmt.Sprintf("working directory %s: no such directory", o.workdir)}
	}
	name := o.command[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	found := startError{exitMissing, fmt.Sprintf("%s: command not found", name)}
	for _, variable := range env {
		list, ok := strings.CutPrefix(variable, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(list, ":") {
			if !path.IsAbs(dir) {
				continue // "." in PATH is never what the operator meant
			}
			candidate := path.Join(dir, name)
			info, err := os.Stat(candidate)
			switch {
			case err != nil || info.IsDir():
			case info.Mode()&0o111 == 0:
				found = startError{exitNotExec, candidate + ": not executable"}
			default:
				return candidate, nil
			}
		}
	}
	return "", found
}

func explainStart(o options, err error) error {
	name := o.command[0]
	switch {
	case errors.Is(err, unix.ENOENT):
		return startError{exitMissing, name + ": no such file, or its interpreter is missing"}
	case errors.Is(err, unix.EACCES):
		return startError{exitNotExec, fmt.Sprintf("%s: user %s may not execute it in %s", name, o.account.name, o.workdir)}
	case errors.Is(err, unix.ENOEXEC):
		return startError{exitNotExec, name + ": not a program for this machine"}
	case errors.Is(err, unix.E2BIG):
		return startError{exitNotExec, name + ": its arguments and environment are too long"}
	default:
		return startError{exitNotExec, fmt.Sprintf("%s: %v", name, err)}
	}
}
