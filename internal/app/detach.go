package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/detach"
	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/plan"
)

// OwnVerb is the hidden command of the process that owns a detached bottle.
const OwnVerb = "own"

// Detached is a bottle that is to run without us.
type Detached struct {
	Plan   plan.Plan
	Resume bool // it is there already
	Fresh  bool // a new machine for a resumed one
	Remove bool // keep nothing, whatever the agent's end
	// Rows and Cols are the screen until somebody attaches; 0: as usual.
	Rows, Cols int
}

// defaultTerm is the kind of terminal of an agent that nobody sits in front of.
const defaultTerm = "xterm-256color"

// Detach starts a process that owns the bottle and outlives us, and returns when the agent
// runs. A launch that fails is a [*detach.Failure]; when ctx ends before, it is called off,
// and undone on return.
func (a *App) Detach(ctx context.Context, d Detached) error {
	if a.config.Self == "" {
		return &Problem{
			Text:  "a bottle that outlives its command needs the program itself, and mage is another one",
			Hints: []string{"go build -o bottle ./cmd/bottle && BOTTLE_MANIFEST=bottle.toml ./bottle start --detach " + d.Plan.Agent},
		}
	}
	answers, err := a.answers(ctx, d.Plan.Env)
	if err != nil {
		return err
	}
	term := a.config.getenv("TERM")
	if term == "" || term == "dumb" {
		term = defaultTerm
	}
	owner, err := a.startOwner()
	if err != nil {
		return err
	}
	defer owner.close()
	err = detach.Parent{Stdin: owner.stdin, Reports: owner.reports, Events: a.events}.Hand(ctx, detach.Bootstrap{
		Plan: d.Plan, Resume: d.Resume, Fresh: d.Fresh, Remove: d.Remove, Answers: answers,
		Dir: a.config.Dir, Manifest: a.config.Manifest, Source: a.config.Source,
		Rows: d.Rows, Cols: d.Cols, Term: term,
	})
	if errors.Is(err, detach.ErrDied) {
		return &Problem{Text: strings.TrimSpace(err.Error() + "\n" + owner.lastWords()), Hints: []string{"bottle list"}}
	}
	if words := owner.words(); err == nil && words != "" {
		a.events.Send(ctx, event.Event{Kind: event.Warn, Step: "owner", Text: words})
	}
	return err
}

// answers asks the plan's questions.
func (a *App) answers(ctx context.Context, variables []plan.Env) ([]string, error) {
	var answers []string
	for _, variable := range variables {
		if variable.Source != "prompt" {
			continue
		}
		answer, err := a.config.Ask(ctx, variable.From)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer.Reveal()) // for the pipe to the owner
	}
	return answers, nil
}

// ownerProcess is our end of an owner.
type ownerProcess struct {
	stdin, reports, printed *os.File
	ended                   chan struct{} // nothing more is printed to us

	mu   sync.Mutex
	text bytes.Buffer
}

// startOwner starts the program in a session of its own, with three pipes. What it prints
// until it has a log is its last words, if it has any.
func (a *App) startOwner() (*ownerProcess, error) {
	o := &ownerProcess{ended: make(chan struct{})}
	theirs := make([]*os.File, 3)
	defer closeAll(theirs)
	var err error
	if theirs[0], o.stdin, err = os.Pipe(); err == nil {
		if o.reports, theirs[1], err = os.Pipe(); err == nil {
			o.printed, theirs[2], err = os.Pipe()
		}
	}
	if err != nil {
		closeAll([]*os.File{o.stdin, o.reports, o.printed})
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	_, err = execx.StartDetached(execx.Cmd{
		Path: a.config.Self, Args: []string{OwnVerb}, Env: a.config.Environ, Dir: "/", Stdin: theirs[0], Files: []*os.File{theirs[1]},
	}, theirs[2])
	if err != nil {
		closeAll([]*os.File{o.stdin, o.reports, o.printed})
		return nil, err
	}
	go o.listen()
	return o, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// maxWords bounds what is kept of what an owner prints.
const maxWords = 16 << 10

func (o *ownerProcess) listen() {
	defer close(o.ended)
	buffer := make([]byte, 4096)
	for {
		n, err := o.printed.Read(buffer)
		o.mu.Lock()
		o.text.Write(buffer[:min(n, maxWords-o.text.Len())])
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (o *ownerProcess) words() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.text.String())
}

// lastWords waits a moment for the end of them.
func (o *ownerProcess) lastWords() string {
	select {
	case <-o.ended:
	case <-time.After(time.Second):
	}
	return o.words()
}

func (o *ownerProcess) close() {
	closeAll([]*os.File{o.stdin, o.reports, o.printed})
	<-o.ended
}
