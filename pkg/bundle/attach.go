package bundle

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// attachment is the streams of one container. It ends with the container, or by close.
type attachment struct {
	hijacked client.HijackedResponse
	stdout   *io.PipeReader
	ended    chan struct{}
}

// attach comes before the start of a container, so that no byte is missed.
func attach(ctx context.Context, engine Engine, id string, logs io.Writer) (*attachment, error) {
	options := client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true}
	result, err := engine.ContainerAttach(ctx, id, options)
	if err != nil {
		return nil, explain(err)
	}
	read, write := io.Pipe()
	a := &attachment{hijacked: result.HijackedResponse, stdout: read, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		_, err := stdcopy.StdCopy(forgiving{write}, logs, a.hijacked.Reader)
		_ = write.CloseWithError(err)
	}()
	return a, nil
}

func (a *attachment) close() {
	a.hijacked.Close()
	_ = a.stdout.Close()
	<-a.ended
}

// firstLine waits until the container said one line on stdout.
func (a *attachment) firstLine(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = a.stdout.CloseWithError(context.Cause(ctx)) })
	defer stop()
	for one := make([]byte, 1); one[0] != '\n'; {
		if _, err := a.stdout.Read(one); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("it ended without a word: %w", err)
		}
	}
	return nil
}

// stdin is the write side of an attachment. Close lets the container go on without us.
type stdin struct{ attachment *attachment }

func (s stdin) Write(p []byte) (int, error) { return s.attachment.hijacked.Conn.Write(p) }
func (s stdin) Close() error                { return s.attachment.hijacked.CloseWrite() }

// oneAtATime lets the two outputs of a container share a writer. It never fails.
type oneAtATime struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.out.Write(p)
	return len(p), nil
}

// forgiving hides write errors: neither a control channel that was closed nor a log that
// cannot be written must stop the other.
type forgiving struct{ io.Writer }

func (f forgiving) Write(p []byte) (int, error) {
	_, _ = f.Writer.Write(p)
	return len(p), nil
}
