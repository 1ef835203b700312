package guestexec_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/pkg/smolvm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine plays a machine with one program in it.
type machine struct {
	program func(context.Context, smolvm.ExecOptions) (string, error) // returns its output; nil: it ends with 0

	mu   sync.Mutex
	argv []string // every word of every call
}

func (m *machine) guest() guestexec.Guest {
	return guestexec.Guest{Machine: m, Name: "bottle-demo-aaaaa"}
}

func (m *machine) Exec(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	m.mu.Lock()
	m.argv = append(append(m.argv, o.Name), o.Command...)
	m.mu.Unlock()
	if strings.Contains(strings.Join(o.Command, " "), " winsize ") {
		return 0, ctx.Err()
	}
	text, err := frame(o, 0), error(nil)
	if m.program != nil {
		text, err = m.program(ctx, o)
	}
	out := o.Stderr
	if o.TTY {
		out = o.Stdout
	}
	_, writeErr := io.WriteString(out, text)
	if err = cmp.Or(err, writeErr); err != nil {
		return -1, err
	}
	return 0, nil
}

// frame is what bottle-guest prints for its caller at the end.
func frame(o smolvm.ExecOptions, code int) string {
	return guestapi.Frame(guestapi.Nonce(o.Command[slices.Index(o.Command, "--nonce")+1]), code)
}

func demo() guestexec.Command { return guestexec.Command{Argv: []string{"bottle-demo"}} }

// output collects what the program's streams got.
type output struct{ stdout, stderr bytes.Buffer }

func (o *output) stdio() guestexec.Stdio {
	return guestexec.Stdio{Stdout: &o.stdout, Stderr: &o.stderr}
}
