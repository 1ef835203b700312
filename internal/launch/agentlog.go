package launch

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"bottle.internal/internal/agentlog"
	"bottle.internal/internal/audit"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/state"
)

// logged writes what the agent prints into its log too. A log that cannot be opened costs a
// warning and nothing else.
func (b *Bottle) logged(ctx context.Context, stdio guestexec.Stdio) (logged guestexec.Stdio, end func()) {
	file, err := os.OpenFile(b.instance.Path(state.AgentLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		b.say(ctx, event.Warn, "agent", "what the agent prints is not kept: "+err.Error())
		return stdio, func() {}
	}
	size := int64(0)
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	log := agentlog.New(file, size, b.deps.Now)
	out, errs := log.Stream(orNowhere(stdio.Stdout)), log.Stream(orNowhere(stdio.Stderr))
	stdio.Stdout, stdio.Stderr = out, errs
	return stdio, func() { _, _, _ = out.Close(), errs.Close(), file.Close() }
}

func orNowhere(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Note writes down what became of the agent's session.
func (b *Bottle) Note(ctx context.Context, name string, fields map[string]any) {
	b.audit(context.WithoutCancel(ctx), audit.Host, name, fields)
}

// AttachSocket is where the owner of a detached bottle can be reached: in the instance, or
// where its other sockets are if that path is too long for one.
func AttachSocket(instance *state.Instance, status state.Status) string {
	if status.SocketDir != "" {
		return filepath.Join(status.SocketDir, state.AttachSocket)
	}
	return instance.Path(state.AttachSocket)
}

// AttachSocket is this bottle's.
func (b *Bottle) AttachSocket() string { return AttachSocket(b.instance, b.status) }

// Path is the path of one of the instance's files.
func (b *Bottle) Path(name string) string { return b.instance.Path(name) }
