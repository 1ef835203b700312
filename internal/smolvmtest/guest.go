package smolvmtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
)

// outputCap bounds plain and --stream exec.
const outputCap = 11 << 20

// programs are what "runs in the guest": on the host, in the guest's directory.
func programs() []string { return []string{"true", "false", "cat", "sh"} }

func (t *fakeTool) exec(line parsed) error {
	if t.fault == Noop {
		return nil
	}
	if err := t.running(line.last("--name")); err != nil {
		return err
	}
	if len(line.rest) == 0 {
		fmt.Fprintln(os.Stderr, "error: the following required arguments were not provided:\n  <COMMAND>...")
		return exitCode(2)
	}
	if line.rest[0] == guestapi.Program {
		return t.bottleGuest(line, line.rest[1:], bufio.NewReader(os.Stdin))
	}
	if done, err := t.freshGuest(line); done {
		return err
	}
	program := findProgram(line.rest[0])
	if program == "" {
		return errors.New("agent operation failed: vm exec: failed to spawn command: No such file or directory (os error 2)")
	}
	dir := filepath.Join(t.store.guestRoot(line.last("--name")), line.last("--workdir"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return t.runGuest(line, execx.Cmd{
		Path: program, Args: line.rest[1:], Dir: dir, DieWithUs: true,
		Env: append([]string{"PATH=/usr/bin:/bin"}, line.values["--env"]...),
	})
}

// findProgram needs no PATH: the caller may have given none.
func findProgram(name string) string {
	name = strings.TrimPrefix(name, "/bin/")
	if !slices.Contains(programs(), name) {
		return ""
	}
	for _, dir := range []string{"/bin", "/usr/bin"} {
		if path, err := execx.Find(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

func (t *fakeTool) runGuest(line parsed, command execx.Cmd) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if text := line.last("--timeout"); text != "" {
		limit, err := time.ParseDuration(text)
		if err != nil {
			return exitCode(2)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	command.Grace = 50 * time.Millisecond
	var out, errOut bytes.Buffer
	interactive := line.has("--interactive") || line.has("--tty")
	switch {
	case interactive:
		command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
		command.KeepGroup = stdinKind() == "terminal"
	case line.has("--stream") && t.version.atLeast("1.3.8"):
		left := int64(outputCap)
		command.Stdout, command.Stderr = capped{os.Stdout, &left}, capped{os.Stderr, &left}
	case line.has("--stream"):
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
	default:
		command.Stdout, command.Stderr = &out, &errOut
	}
	err := execx.Run(ctx, command)
	if max(out.Len(), errOut.Len()) > outputCap {
		if t.version.atLeast("1.0.0") {
			return fmt.Errorf("agent operation failed: vm exec: command output exceeded %d bytes", outputCap)
		}
		out.Truncate(min(out.Len(), outputCap))
		errOut.Truncate(min(errOut.Len(), outputCap))
	}
	_, _ = os.Stdout.Write(out.Bytes())
	_, _ = os.Stderr.Write(errOut.Bytes())
	return t.exitOf(ctx, err)
}

// exitOf is the code that the caller of the fake sees.
func (t *fakeTool) exitOf(ctx context.Context, err error) error {
	exit := (*execx.ExitError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errCapped):
		fmt.Fprintf(os.Stderr, "error: streaming output exceeded %d byte cap; exec terminated\n", outputCap)
		return exitCode(1)
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return exitCode(124)
	case !errors.As(err, &exit):
		return err
	case exit.Signal != 0 && t.version.atLeast("0.8.1"):
		return exitCode(128 + int(exit.Signal))
	case exit.Signal != 0:
		return exitCode(255)
	}
	return exitCode(exit.Code)
}

var errCapped = errors.New("over the cap")

type capped struct {
	to   io.Writer
	left *int64
}

func (c capped) Write(p []byte) (int, error) {
	if *c.left -= int64(len(p)); *c.left < 0 {
		return 0, errCapped
	}
	return c.to.Write(p)
}

// cp splits at the first colon, the source first, as the real one.
func (t *fakeTool) cp(line parsed) error {
	if len(line.positional) != 2 {
		fmt.Fprintln(os.Stderr, "error: the following required arguments were not provided:\n  <DST>")
		return exitCode(2)
	}
	source, target := line.positional[0], line.positional[1]
	if name, guest, ok := strings.Cut(source, ":"); ok {
		return t.download(name, guest, target)
	}
	name, guest, ok := strings.Cut(target, ":")
	if !ok {
		return errors.New("config operation failed: cp: one of SRC and DST must be MACHINE:PATH")
	}
	return t.upload(source, name, guest)
}

func (t *fakeTool) upload(local, name, guest string) error {
	path, err := t.guestFile(name, guest)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(local)
	if err != nil {
		return fmt.Errorf("agent operation failed: read %s: %w", local, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// download truncates the local file first and deletes it when the guest fails.
func (t *fakeTool) download(name, guest, local string) error {
	path, err := t.guestFile(name, guest)
	if err != nil {
		return err
	}
	if err := os.WriteFile(local, nil, 0o644); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = os.Remove(local)
		return fmt.Errorf("agent operation failed: file read: No such file or directory (os error 2): %s", guest)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(local, data, 0o644)
}

func (t *fakeTool) guestFile(name, guest string) (string, error) {
	if err := t.running(name); err != nil {
		return "", err
	}
	inside := strings.TrimPrefix(guest, "/")
	if !filepath.IsLocal(inside) {
		return "", errors.New("agent operation failed: file path: parent traversal is not allowed")
	}
	return filepath.Join(t.store.guestRoot(name), inside), nil
}
