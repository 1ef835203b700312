// Package smolvm drives a smolvm command line: it packs images and makes, runs and
// deletes machines.
//
// Invariants: argv comes from pure functions, one per subcommand, that know what each
// version accepts; no option value can be read as a flag. A machine never gets a
// network: no such flag is ever passed, and a created machine that says it has one is
// deleted again. Questions about state are answered by `--json` output only, never by
// an exit code or by text that a guest may have written. A machine is stopped before
// it is deleted, and deleted only when `ls` lacks it and its process is dead.
//
// The calls do not serialise themselves: one machine is driven by one caller at a time.
package smolvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
)

// The names that a tool may give itself.
const (
	NameSmolvm = "smolvm"      // the real one
	NameLite   = "smolvm-lite" // our stand-in over QEMU
)

// DefaultPatience is used when Config.Patience is zero.
const DefaultPatience = 10 * time.Second

// maxAnswer bounds what one JSON answer may be: 10,000 machines fit.
const maxAnswer = 8 << 20

// Tool is a VM tool that [Detect] has found usable.
type Tool struct {
	Path    string // absolute
	Name    string // NameSmolvm or NameLite
	Version Version
}

// Config is what a Client needs.
type Config struct {
	Tool   Tool
	Env    []string       // the whole environment of every call: see [Environ]
	Redact []secret.Value // replaced in the text of errors

	// Grace is the time between SIGINT and SIGKILL when a context ends. Zero means
	// [execx.DefaultGrace].
	Grace time.Duration
	// Patience is how long Start, Stop and Delete wait to see what the tool says it has
	// done. Zero means [DefaultPatience].
	Patience time.Duration
}

// Client runs one tool. It holds no state and may be used concurrently.
type Client struct{ config Config }

// New makes a Client. The tool is not run.
func New(config Config) *Client {
	if config.Patience == 0 {
		config.Patience = DefaultPatience
	}
	return &Client{config: config}
}

// Tool says what is driven.
func (c *Client) Tool() Tool { return c.config.Tool }

// invocation is what the builders make: one argv, and the environment it needs on top.
type invocation struct{ args, env []string }

func (c *Client) command(call invocation) execx.Cmd {
	return execx.Cmd{
		Path:   c.config.Tool.Path,
		Args:   call.args,
		Env:    slices.Concat(c.config.Env, call.env),
		Grace:  c.config.Grace,
		Redact: c.config.Redact,
	}
}

// run runs the tool for its effect.
func (c *Client) run(ctx context.Context, call invocation) error {
	return c.explain(execx.Run(ctx, c.command(call)))
}

// answer runs the tool for its standard output.
func (c *Client) answer(ctx context.Context, call invocation) ([]byte, error) {
	var out boundedBuffer
	command := c.command(call)
	command.Stdout = &out
	err := execx.Run(ctx, command)
	if out.over {
		return nil, fmt.Errorf("%s answered with more than %d bytes", c.config.Tool.Name, maxAnswer)
	}
	return out.bytes.Bytes(), c.explain(err)
}

// boundedBuffer keeps maxAnswer bytes and swallows the rest, so that the tool can end.
type boundedBuffer struct {
	bytes bytes.Buffer
	over  bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.over = b.over || b.bytes.Len()+len(p) > maxAnswer; !b.over {
		b.bytes.Write(p)
	}
	return len(p), nil
}

// errPatience ends a poll that saw no answer it liked.
var errPatience = errors.New("gave up waiting")

// poll asks until the answer is yes, an error, or the patience is over. The first
// question comes at once.
func poll(ctx context.Context, patience time.Duration, ask func(context.Context) (bool, error)) error {
	const longest = 500 * time.Millisecond
	end := time.NewTimer(patience)
	defer end.Stop()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, longest) {
		if done, err := ask(ctx); done || err != nil {
			return err
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-end.C:
			next.Stop()
			return errPatience
		case <-ctx.Done():
			next.Stop()
			return context.Cause(ctx)
		}
	}
}
