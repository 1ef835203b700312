package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// maxExecOutput bounds what Exec keeps of each output.
const maxExecOutput = 64 << 10

// Bundle is a started bundle. Its owner calls Close.
type Bundle struct {
	engine Engine
	spec   Spec
	run    string

	networkID, containerID, echoID string
	volume                         string // its name, from before it is made

	echo    *attachment
	drained sync.WaitGroup // the reader of the echo's output

	mu      sync.Mutex
	streams *attachment
	gate    string

	closing sync.Mutex
}

// Stdio returns the control channel: the container's stdin and stdout. The reader must be
// read or closed, or the log stops too. Closing the writer leaves the container running,
// but the engine then ends the other streams too; Restart brings a new pair.
func (b *Bundle) Stdio() (io.WriteCloser, io.ReadCloser) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return stdin{b.streams}, b.streams.stdout
}

// Ended is closed when the streams of the moment end: the container stopped, the engine
// went away, or stdin was closed. Alive tells which.
func (b *Bundle) Ended() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams.ended
}

// GateAddr is the gate's host:port on the host's loopback, or "" during a restart and
// after Close. A dead container keeps its last one: whoever listens there now has no key.
func (b *Bundle) GateAddr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gate
}

// ContainerID is the engine's id of the bundle's container.
func (b *Bundle) ContainerID() string { return b.containerID }

// NetworkID is the engine's id of the network.
func (b *Bundle) NetworkID() string { return b.networkID }

func (b *Bundle) setStreams(streams *attachment, gate string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams, b.gate = streams, gate
}

// Alive reports whether the container runs.
func (b *Bundle) Alive(ctx context.Context) (bool, error) {
	result, err := b.engine.ContainerInspect(ctx, b.containerID, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("inspecting bundle %s: %w", b.spec.Identity, explain(err))
	}
	return result.Container.State != nil && result.Container.State.Running, nil
}

// Restart starts a container that ended again, or attaches anew to one that runs. The
// caller then takes Stdio and sends the bootstrap again; the gate's address may differ.
func (b *Bundle) Restart(ctx context.Context) error {
	b.closing.Lock()
	defer b.closing.Unlock()
	b.streams.close()
	if err := b.launch(ctx); err != nil {
		return fmt.Errorf("restarting bundle %s: %w", b.spec.Identity, err)
	}
	return nil
}

// Exec runs the bundle's program with args inside the container and returns its output,
// of which at most 64 KiB are kept, and its exit code.
func (b *Bundle) Exec(ctx context.Context, args ...string) (stdout string, code int, err error) {
	fail := func(err error) (string, int, error) {
		return "", -1, fmt.Errorf("running %q in bundle %s: %w", args, b.spec.Identity, explain(err))
	}
	created, err := b.engine.ExecCreate(ctx, b.containerID, client.ExecCreateOptions{
		AttachStdout: true, AttachStderr: true, Cmd: append([]string{Program}, args...),
	})
	if err != nil {
		return fail(err)
	}
	attached, err := b.engine.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return fail(err)
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close)
	defer stop()
	var out, problems capped
	if _, err := stdcopy.StdCopy(&out, &problems, attached.Reader); err != nil {
		return fail(errors.Join(context.Cause(ctx), err))
	}
	ended, err := b.engine.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	if err != nil {
		return fail(err)
	}
	if ended.ExitCode > 1 {
		return fail(fmt.Errorf("exit status %d: %.200q", ended.ExitCode, problems.String()))
	}
	return out.String(), ended.ExitCode, nil
}

// Dial has the bundle connect to every HOST:PORT and returns, in their order, the error of
// each, nil for one that it reached: the proof that a target which the agent must not reach
// is alive. With HOST:PORT=HEX it says those bytes to it first.
func (b *Bundle) Dial(ctx context.Context, targets ...string) []error {
	problems := make([]error, len(targets))
	stdout, _, err := b.Exec(ctx, append([]string{"dial"}, targets...)...)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for i, target := range targets {
		target, _, _ = strings.Cut(target, "=")
		switch {
		case err != nil:
			problems[i] = err
		case i >= len(lines) || !strings.HasPrefix(lines[i], "ok "):
			problems[i] = fmt.Errorf("dialing %s from bundle %s: %.200q", target, b.spec.Identity, strings.Join(lines[min(i, len(lines)):min(i+1, len(lines))], ""))
		}
	}
	return problems
}

// capped keeps the first maxExecOutput bytes.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	room := max(maxExecOutput-c.Len(), 0)
	_, _ = c.Buffer.Write(p[:min(room, len(p))])
	return len(p), nil
}
