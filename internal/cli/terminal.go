package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/secret"
)

// interactive reports whether a person can be asked: both ends must be a terminal.
func (s *session) interactive() bool {
	out, ok := s.Stdout.(*os.File)
	return ok && s.Stdin != nil && term.IsTerminal(int(s.Stdin.Fd())) && term.IsTerminal(int(out.Fd()))
}

// askSecret asks a question on the terminal; the answer is not shown.
func (s *session) askSecret(ctx context.Context, question string) (secret.Value, error) {
	if !s.interactive() {
		return secret.Value{}, fmt.Errorf("there is no terminal to ask for %q on", printable.SafeText(question))
	}
	fd := int(s.Stdin.Fd())
	saved, err := term.GetState(fd)
	if err != nil {
		return secret.Value{}, fmt.Errorf("asking a question: %w", err)
	}
	// Here and not in the reader, which may outlive us: it must not turn the echo off later.
	if err := echoOff(fd); err != nil {
		return secret.Value{}, fmt.Errorf("asking a question: %w", err)
	}
	defer func() { _ = term.Restore(fd, saved) }()
	fmt.Fprintf(s.Stderr, "%s: ", printable.SafeText(question))
	answer, err := untilDone(ctx, func() (string, error) { return bufio.NewReader(s.Stdin).ReadString('\n') })
	fmt.Fprintln(s.Stderr)
	if err != nil && (answer == "" || !errors.Is(err, io.EOF)) {
		return secret.Value{}, fmt.Errorf("reading an answer: %w", err)
	}
	return secret.New(strings.TrimRight(answer, "\r\n")), nil
}

// untilDone reads from the terminal. ^C must end the wait, and a read of a terminal
// cannot be cancelled: the reader is left behind, the process is about to end.
func untilDone[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	case r := <-done:
		return r.value, r.err
	}
}

// attached runs do with the session's streams, filtered. On a terminal it
// passes the size on, first and whenever it changes, and puts the terminal back as it was.
func (s *session) attached(ctx context.Context, do func(context.Context, guestexec.Stdio) (int, error)) (int, error) {
	var stdio guestexec.Stdio
	var reset func()
	stdio.Stdout, stdio.Stderr, reset = s.screen()
	defer reset()
	if !s.interactive() {
		if s.Stdin != nil {
			stdio.Stdin = s.Stdin
		}
		return do(ctx, stdio)
	}
	fd := int(s.Stdin.Fd())
	if saved, err := term.GetState(fd); err == nil {
		// Whatever the VM tool left behind when it was killed, the person's shell is usable.
		defer func() { _ = term.Restore(fd, saved) }()
	}
	sizes, stop := watchSize(fd)
	defer stop()
	stdio.Stdin, stdio.TTY, stdio.Sizes = s.Stdin, true, sizes
	return do(ctx, stdio)
}

// watchSize reports the terminal's size now and after every SIGWINCH. Only the newest
// size matters: one that nobody took yet is replaced.
func watchSize(fd int) (sizes <-chan guestexec.Size, stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	out := make(chan guestexec.Size, 1)
	done, ended := make(chan struct{}), make(chan struct{})
	send := func() {
		cols, rows, err := term.GetSize(fd)
		if err != nil {
			return
		}
		select {
		case <-out:
		default:
		}
		out <- guestexec.Size{Rows: rows, Cols: cols}
	}
	go func() {
		defer close(ended)
		send()
		for {
			select {
			case <-changed:
				send()
			case <-done:
				return
			}
		}
	}()
	return out, func() {
		signal.Stop(changed)
		close(done)
		<-ended
	}
}
