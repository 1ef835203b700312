package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"bottle.internal/internal/app"
	"bottle.internal/internal/console"
	"bottle.internal/internal/detach"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
)

// reportsFd is the pipe on which an owner reports to its parent.
const reportsFd = 3

// The screen of an agent that was started without one.
const (
	defaultRows = 24
	defaultCols = 80
)

// owner is the process that owns a detached bottle.
type owner struct {
	talk      *detach.Owner
	bootstrap detach.Bootstrap
	app       *app.App
	events    atomic.Pointer[event.Sink]
}

// own is the hidden command that `start --detach` runs itself again with.
func own(ctx context.Context, streams Streams, config app.Config) error {
	if streams.Stdin == nil || term.IsTerminal(int(streams.Stdin.Fd())) || !isPipe(reportsFd) {
		return &usageError{text: "this command is bottle's own", hints: []string{"bottle start --detach AGENT"}}
	}
	syscall.CloseOnExec(reportsFd) // whoever waits for its end waits for us alone
	defer survivePipes()()
	o := &owner{}
	var err error
	if o.talk, o.bootstrap, err = detach.NewOwner(streams.Stdin, os.NewFile(reportsFd, "reports")); err != nil {
		return err
	}
	o.tell(o.talk)
	bottle, screen, err := o.launch(ctx, config)
	if err != nil {
		var text strings.Builder
		code := report(&text, err)
		o.talk.Fail(detach.Failure{Text: text.String(), Code: code})
		return &guestExit{code}
	}
	return o.run(ctx, bottle, screen)
}

func isPipe(fd int) bool {
	var info unix.Stat_t
	return unix.Fstat(fd, &info) == nil && info.Mode&unix.S_IFMT == unix.S_IFIFO
}

func (o *owner) tell(sink event.Sink) { o.events.Store(&sink) }

// launch returns a bottle that the parent wants, or nothing.
func (o *owner) launch(ctx context.Context, config app.Config) (*launch.Bottle, *console.Console, error) {
	config.Dir, config.Manifest, config.Source = o.bootstrap.Dir, o.bootstrap.Manifest, o.bootstrap.Source
	config.Ask = answered(o.bootstrap.Answers)
	config.Events = event.SinkFunc(func(ctx context.Context, e event.Event) { (*o.events.Load()).Send(ctx, e) })
	var err error
	if o.app, err = app.New(config); err != nil {
		return nil, nil, err
	}
	wanted, callOff := context.WithCancel(ctx)
	defer callOff()
	answer := make(chan bool, 1)
	go func() { // ends with stdin, and at the latest with this process
		agreed := o.talk.Answer()
		if !agreed {
			callOff()
		}
		answer <- agreed
	}()
	bottle, err := o.start(wanted)
	if err != nil {
		return nil, nil, err
	}
	screen, err := console.Open(ctx, console.Config{
		Socket: bottle.AttachSocket(), Size: o.size(),
		Note: func(name string, fields map[string]any) { bottle.Note(ctx, name, fields) },
	})
	if err == nil {
		if o.talk.Ready(); <-answer {
			return bottle, screen, nil
		}
		err = errors.Join(context.Canceled, screen.Close())
	}
	return nil, nil, errors.Join(err, o.undo(ctx, bottle))
}

// answered gives the answers that the parent was given, in the order of the questions.
func answered(answers []string) func(context.Context, string) (secret.Value, error) {
	var mu sync.Mutex
	return func(_ context.Context, question string) (secret.Value, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) == 0 {
			return secret.Value{}, fmt.Errorf("nobody was asked %q", printable.SafeText(question))
		}
		answer := secret.New(answers[0])
		answers = answers[1:]
		return answer, nil
	}
}

func (o *owner) start(ctx context.Context) (*launch.Bottle, error) {
	if o.bootstrap.Resume {
		return o.app.Resume(ctx, app.Resumption{Plan: o.bootstrap.Plan, Fresh: o.bootstrap.Fresh})
	}
	return o.app.Start(ctx, o.bootstrap.Plan)
}

// undo takes a bottle back that nobody wants any more; one that was there before stays.
func (o *owner) undo(ctx context.Context, bottle *launch.Bottle) error {
	ctx = context.WithoutCancel(ctx)
	if o.bootstrap.Resume {
		return bottle.Keep(ctx, nil)
	}
	return bottle.Close(ctx)
}

func (o *owner) size() guestexec.Size {
	if o.bootstrap.Rows < 1 || o.bootstrap.Cols < 1 {
		return guestexec.Size{Rows: defaultRows, Cols: defaultCols}
	}
	return guestexec.Size{Rows: o.bootstrap.Rows, Cols: o.bootstrap.Cols}
}

// run is the owner's life once its parent has gone.
func (o *owner) run(ctx context.Context, bottle *launch.Bottle, screen *console.Console) error {
	log := &capped{w: standAlone(bottle.Path(state.OwnerLog)), left: maxOwnerLog}
	o.tell(event.NewPlain(log))
	rule := app.KeepUnfinished
	if o.bootstrap.Remove {
		rule = app.KeepNever
	}
	attach := func(ctx context.Context, do func(context.Context, guestexec.Stdio) (int, error)) (int, error) {
		stdio := screen.Stdio()
		stdio.Term = o.bootstrap.Term
		code, err := do(ctx, stdio)
		exit := console.Exit{Code: code}
		if err != nil {
			exit.Problem = printable.SafeText(err.Error())
		}
		screen.End(exit)
		return code, errors.Join(err, screen.Close())
	}
	end, err := o.app.RunAndClose(ctx, bottle, attach, app.Ending{Rule: rule, Holds: o.bootstrap.Plan.Workspace != nil})
	fmt.Fprint(log, end.Receipt)
	return errors.Join(err, ownExit(end))
}

// ownExit is the exit code of the owner: its agent's.
func ownExit(end app.End) error {
	if end.Exit == nil {
		return nil
	}
	return exitWith(*end.Exit)
}

// standAlone gives up what the parent has given us: stdin is empty, and what we print, a
// crash too, goes to the log.
func standAlone(path string) *os.File {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return os.Stderr
	}
	defer null.Close()
	log := null
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600); err == nil {
		defer file.Close()
		log = file
	}
	_ = unix.Dup2(int(null.Fd()), 0)
	_ = unix.Dup2(int(log.Fd()), 1)
	_ = unix.Dup2(int(log.Fd()), 2)
	return os.Stderr
}

// maxOwnerLog bounds the log of an owner.
const maxOwnerLog = 4 << 20

// capped drops what is too much.
type capped struct {
	mu   sync.Mutex
	w    io.Writer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= len(p); c.left >= 0 {
		_, _ = c.w.Write(p)
	}
	return len(p), nil
}
