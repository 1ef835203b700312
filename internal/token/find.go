package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/secret"
)

const (
	// maxRead bounds a file and the output of a command.
	maxRead = 64 << 10
	// runTime is how long a command may take.
	runTime = 10 * time.Second
	// maxDetail bounds what an error repeats of a command's standard error.
	maxDetail = 400
	// minHidden is the shortest line of output that an error must not repeat.
	minHidden = 4
)

var (
	errTooMuch = errors.New("too much output")
	errTooLong = errors.New("too much time")
)

func (s *slot) find(ctx context.Context, sources *Sources) (secret.Value, error) {
	var text string
	var err error
	switch s.spec.Source {
	case Env:
		text, err = s.variable(sources.options.Environ)
	case File:
		text, err = s.file()
	default:
		text, err = s.command(ctx, sources)
	}
	if err != nil {
		return secret.Value{}, err
	}
	if problem := flaw(text); problem != "" {
		return secret.Value{}, s.problem("%s", problem)
	}
	return secret.New(text), nil
}

// flaw says why a text is no credential that a header can hold.
func flaw(text string) string {
	outside := func(r rune) bool { return r < 0x20 || r > 0x7e }
	switch {
	case text == "":
		return "is empty"
	case len(text) > MaxValue:
		return fmt.Sprintf("has %d bytes: a credential has at most %d", len(text), MaxValue)
	case strings.ContainsAny(text, "\r\n"):
		return "has more than one line"
	case strings.ContainsFunc(text, outside):
		return "has a character that is no printable ASCII"
	case strings.Trim(text, " ") != text:
		return "begins or ends with a space"
	}
	return ""
}

// oneLine takes off the line end that files and commands have and values do not.
func oneLine(data []byte) string {
	return string(bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")))
}

func (s *slot) variable(environ []string) (string, error) {
	for _, v := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(v, s.spec.Name+"="); ok {
			return value, nil
		}
	}
	return "", s.problem("is not set")
}

// file follows symlinks: the file is the operator's own choice.
func (s *slot) file() (string, error) {
	file, err := os.OpenFile(s.spec.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hang us
	if err != nil {
		return "", s.fileProblem(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", s.fileProblem(err)
	}
	if !info.Mode().IsRegular() {
		return "", s.problem("is no regular file")
	}
	s.warning.Store(nil)
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		text := fmt.Sprintf("is open to others (mode %04o): chmod 600 it", mode)
		s.warning.Store(&text)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxRead+1))
	if err != nil {
		return "", s.fileProblem(err)
	}
	if len(data) > maxRead {
		return "", s.problem("has more than %d bytes", maxRead)
	}
	return oneLine(data), nil
}

// fileProblem leaves the path out, which the source names already.
func (s *slot) fileProblem(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return s.problem("cannot be read: %v", err)
}

// command runs the program without a terminal, in a directory of the operator's.
func (s *slot) command(ctx context.Context, sources *Sources) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(sources.runTime, func() { cancel(errTooLong) })
	defer limit.Stop()
	output := &bounded{full: func() { cancel(errTooMuch) }}
	err := execx.Run(ctx, execx.Cmd{
		Path: s.spec.Cmd[0], Args: s.spec.Cmd[1:], Env: sources.options.Environ, Dir: sources.options.Dir,
		Stdout: output, Redact: sources.Known(), LeavesDaemon: true,
	})
	if errors.Is(err, execx.ErrWaitDelay) {
		err = nil // it ended well; an agent that it started holds on to its output
	}
	text := oneLine(output.bytes())
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTooMuch):
		return "", s.problem("printed more than %d bytes", maxRead)
	case errors.Is(cause, errTooLong):
		return "", s.problem("took more than %s", sources.runTime)
	case err != nil:
		return "", s.failure(err, text)
	}
	return text, nil
}

// failure says how a command failed. What it printed before could be half a credential.
func (s *slot) failure(err error, printed string) error {
	exit := (*execx.ExitError)(nil)
	if !errors.As(err, &exit) {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			return s.problem("cannot be run: %v", path.Err)
		}
		if errors.Is(err, execx.ErrNotFound) {
			return s.problem("cannot be run: it is not on PATH")
		}
		return s.problem("cannot be run: %v", err)
	}
	problem := &Error{Source: s.spec.String(), Problem: fmt.Sprintf("failed with exit status %d", exit.Code)}
	switch {
	case exit.Signal != 0:
		problem.Problem = "was killed by " + exit.Signal.String()
	case exit.Code < 0:
		problem.Problem = "did not end well"
	}
	detail := strings.TrimSpace(exit.Stderr)
	for line := range strings.Lines(printed) {
		if line = strings.TrimSpace(line); len(line) >= minHidden {
			detail = strings.ReplaceAll(detail, line, secret.Redacted)
		}
	}
	if over := len(detail) - maxDetail; over > 0 {
		detail = "..." + detail[over:]
	}
	problem.Detail = printable.SafeText(detail)
	return problem
}

// bounded keeps the beginning of an output. What a program left behind may still write.
type bounded struct {
	mu   sync.Mutex
	data []byte
	full func()
}

func (b *bounded) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.data)
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.data)+len(p) > maxRead {
		b.full()
		return 0, errTooMuch
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
