package provision

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Exec is one command in the guest, run as root.
type Exec struct {
	Command        []string
	Stdin          io.Reader // nil: nothing
	Stdout, Stderr io.Writer
}

// Guest runs commands in the machine. It returns the command's exit code; an error
// means that the command could not be run or its code is not known. A code of 137
// counts even beside an error: so ends a command that the machine killed.
type Guest interface {
	Exec(ctx context.Context, command Exec) (code int, err error)
}

// StepError says which step failed. Output is the tail of what the guest printed, safe
// for a terminal; it is the guest's word and decides nothing.
type StepError struct {
	Step   string
	Code   int
	Output string
}

func (e *StepError) Error() string {
	text := fmt.Sprintf("provisioning %s: the guest ended with status %d", e.Step, e.Code)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

// killed is the status of a command that was killed, which happens to the first ones
// in a machine that has just started.
const killed = 137

// Apply sends the files in one tar and runs the command.
func Apply(ctx context.Context, guest Guest, r Rendered) error {
	files, err := complete(r.Files)
	if err != nil {
		return fmt.Errorf("provisioning: %w", err)
	}
	for _, name := range r.Remove {
		if err := checkPath(name); err != nil {
			return fmt.Errorf("provisioning: %w", err)
		}
	}
	data, err := archive(files)
	if err != nil {
		return fmt.Errorf("provisioning: %w", err)
	}
	code, output, err := run(ctx, guest, unpackCommand(r.Remove), data)
	if err != nil {
		return fmt.Errorf("provisioning files: %w", err)
	}
	if code != 0 {
		return &StepError{Step: "files", Code: code, Output: output}
	}
	if len(r.Command) == 0 {
		return nil
	}
	code, output, err = run(ctx, guest, r.Command, nil)
	if err != nil {
		return fmt.Errorf("provisioning: %w", err)
	}
	if code != 0 {
		return &StepError{Step: r.stepOf(code), Code: code, Output: output}
	}
	return nil
}

// unpackCommand: -m, because the guest's clock may be behind ours; -p, because modes count.
func unpackCommand(remove []string) []string {
	if len(remove) == 0 {
		return []string{"tar", "-x", "-p", "-m", "-f", "-", "-C", "/"}
	}
	return append([]string{"sh", "-c", `rm -rf -- "$@" && exec tar -x -p -m -f - -C /`, "sh"}, remove...)
}

func (r Rendered) stepOf(code int) string {
	if i := code - firstStepStatus; i >= 0 && i < len(r.Steps) {
		return r.Steps[i]
	}
	return "command"
}

// run runs a command, a second time if it was killed.
func run(ctx context.Context, guest Guest, command []string, stdin []byte) (code int, output string, err error) {
	for range 2 {
		var printed tail
		exec := Exec{Command: command, Stdout: io.Discard, Stderr: &printed}
		if stdin != nil {
			exec.Stdin = bytes.NewReader(stdin)
		}
		code, err = guest.Exec(ctx, exec)
		output = printed.String()
		if code != killed || ctx.Err() != nil {
			break
		}
	}
	return code, output, err
}

// tailSize bounds what an error quotes.
const tailSize = 2 << 10

// tail keeps the last bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is the text on one line, without anything that a terminal would obey.
func (t *tail) String() string {
	lines := strings.FieldsFunc(string(t.kept), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(lines, "; "))
}
