//go:build linux

package initd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
)

// daemon keeps one program running.
type daemon struct {
	spec    Daemon
	program string
	timing  Timing
	reaper  *reaper
	journal *journal
	emit    func(control.Event)

	mu      sync.Mutex
	secrets map[string]secret.Value
	process *execx.Process // nil while it is dead
}

// run starts the program again and again until ctx ends, and leaves nothing of it.
func (d *daemon) run(ctx context.Context) {
	rest := backoff{timing: d.timing}
	for {
		started := time.Now()
		outcome := d.once(ctx)
		if ctx.Err() != nil {
			return
		}
		d.event(control.Died, outcome)
		pause, giveUp := rest.next(started, time.Now())
		if giveUp {
			d.event(control.GaveUp, fmt.Sprintf("%d deaths within %v; trying every %v", d.timing.GiveUp, d.timing.Window, d.timing.BackoffMax))
		}
		d.event(control.Restarting, pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// once runs the program to its end and returns how it ended.
func (d *daemon) once(ctx context.Context) string {
	stdout, stderr := &stream{from: d.spec.Name, journal: d.journal}, &stream{from: d.spec.Name, journal: d.journal}
	cmd := execx.Cmd{
		Path: d.spec.Path, Args: d.spec.Args, Env: d.spec.Env, Stdout: stdout, Stderr: stderr,
		Grace: 500 * time.Millisecond, // for output that an orphan of the daemon holds open
	}
	if cmd.Path == "" {
		cmd.Path = d.program
	}
	closePipe, err := d.passSecrets(&cmd)
	if err != nil {
		return err.Error()
	}
	process, err := d.reaper.start(context.WithoutCancel(ctx), cmd)
	closePipe()
	if err != nil {
		return err.Error()
	}
	d.setProcess(process)
	d.event(control.Started, fmt.Sprintf("pid %d", process.Pid()))

	exited, stopped := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() { defer close(stopped); d.stop(process, exited) })
	err = d.reaper.wait(process)
	close(exited)
	d.setProcess(nil)
	if !cancel() {
		<-stopped
	}
	_ = process.Signal(syscall.SIGKILL) // what it started dies with it
	stdout.flush()
	stderr.flush()
	return describe(err)
}

// stop gives the program the grace period to obey.
func (d *daemon) stop(process *execx.Process, exited <-chan struct{}) {
	_ = process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(d.timing.Grace):
		_ = process.Signal(syscall.SIGKILL)
	}
}

// passSecrets puts the daemon's secrets into a pipe that it inherits as descriptor 3. The
// pipe holds them whole, so nobody has to wait for the daemon to read.
func (d *daemon) passSecrets(cmd *execx.Cmd) (closePipe func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.secrets) == 0 {
		return func() {}, nil
	}
	values := make(map[string]string, len(d.secrets))
	for name, value := range d.secrets {
		values[name] = base64.StdEncoding.EncodeToString([]byte(value.Reveal()))
	}
	data, err := json.Marshal(values)
	if err != nil {
		return nil, errors.New("encoding its secrets")
	}
	defer clear(data)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe for its secrets: %w", err)
	}
	defer write.Close()
	// Without a reader a full pipe would block for ever: then the write fails instead.
	if err := write.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	if _, err := write.Write(data); err != nil {
		return nil, errors.Join(fmt.Errorf("passing its secrets (%d bytes): %w", len(data), err), read.Close())
	}
	cmd.Files = []*os.File{read}
	cmd.Env = append(append([]string{}, cmd.Env...), SecretsFDEnv+"=3")
	return func() { _ = read.Close() }, nil
}

func (d *daemon) setSecrets(secrets map[string]secret.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secrets = secrets
}

func (d *daemon) setProcess(process *execx.Process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.process = process
}

func (d *daemon) isRunning() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process != nil
}

// reload asks a running daemon to read its configuration again; a dead one will anyway.
func (d *daemon) reload() {
	d.mu.Lock()
	process := d.process
	d.mu.Unlock()
	if !d.spec.Reload || process == nil {
		return
	}
	if err := process.Signal(syscall.SIGHUP); err != nil {
		d.journal.printf("reloading %s: %v", d.spec.Name, err)
		return
	}
	d.event(control.Reloaded, "")
}

func (d *daemon) event(what control.What, detail string) {
	d.journal.printf("%s: %s %s", d.spec.Name, what, detail)
	d.emit(control.Event{Daemon: d.spec.Name, What: what, Detail: detail})
}

// describe keeps the daemon's own words out of the event: they are in the log.
func describe(err error) string {
	exit := (*execx.ExitError)(nil)
	switch {
	case err == nil:
		return "exit status 0"
	case !errors.As(err, &exit):
		return err.Error()
	case exit.Signal != 0:
		return "killed by signal " + exit.Signal.String()
	}
	return fmt.Sprintf("exit status %d", exit.Code)
}
