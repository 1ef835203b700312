// Package detach is the talk between `bottle start --detach` and the owner process that it
// leaves behind.
//
// The parent writes one line, the [Bootstrap], to the owner's stdin and keeps that open.
// The owner reports on a pipe of its own: events, and then either that the bottle is ready
// or how the launch failed. Ready is a question: only when the parent has answered does the
// agent run. So both know the same, whatever dies: a parent that is gone, or does not want
// any more, is an end of stdin, and the owner undoes everything.
//
// Invariant: secrets travel in the bootstrap, over the pipe, and nowhere else.
package detach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"bottle.internal/internal/event"
	"bottle.internal/internal/plan"
)

// Version of the talk; both sides are the same program.
const Version = 1

// maxLine bounds a line either way: a plan with its prompt, or a failure.
const maxLine = 16 << 20

// agreed is the parent's answer.
const agreed = "go\n"

// Bootstrap is all that an owner needs to know, beside the environment that it inherits.
type Bootstrap struct {
	Version  int       `json:"version"`
	Plan     plan.Plan `json:"plan"`
	Resume   bool      `json:"resume"`  // the bottle exists
	Fresh    bool      `json:"fresh"`   // with a new machine
	Remove   bool      `json:"remove"`  // keep nothing, whatever the agent's end
	Answers  []string  `json:"answers"` // to the plan's questions, in its order: secrets
	Dir      string    `json:"dir"`
	Manifest string    `json:"manifest"`
	Source   string    `json:"source"`
	Rows     int       `json:"rows"` // of the parent's terminal; 0 without one
	Cols     int       `json:"cols"`
	Term     string    `json:"term"`
}

// report is a line from the owner.
type report struct {
	Event  *event.Event `json:"event,omitempty"`
	Ready  bool         `json:"ready,omitempty"`
	Failed *Failure     `json:"failed,omitempty"`
}

// Failure is how a launch failed: what the same launch in the foreground would have said.
type Failure struct {
	Text string `json:"text"`
	Code int    `json:"code"`
}

func (f *Failure) Error() string { return f.Text }

// ErrDied means that the owner ended without a word.
var ErrDied = errors.New("the bottle's owner has ended without a word")

// Parent is the side of `start --detach`.
type Parent struct {
	Stdin   io.WriteCloser // the owner's
	Reports io.Reader
	Events  event.Sink
}

// Hand gives the bottle to the owner and returns nil when it runs. When ctx ends, the
// launch is called off, and Hand returns when the owner has undone it. A failure is a
// [*Failure].
func (p Parent) Hand(ctx context.Context, bootstrap Bootstrap) error {
	var once sync.Once
	hangUp := func() { once.Do(func() { _ = p.Stdin.Close() }) }
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	bootstrap.Version = Version
	line, err := json.Marshal(bootstrap)
	if err != nil {
		return fmt.Errorf("handing the bottle over: %w", err)
	}
	go func() { // an owner that does not read is seen below
		if _, err := p.Stdin.Write(append(line, '\n')); err != nil {
			hangUp()
		}
	}()
	lines := bufio.NewScanner(p.Reports)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("reading what the bottle's owner reports: %w", err)
		}
		switch {
		case r.Event != nil:
			p.Events.Send(ctx, *r.Event)
		case r.Failed != nil:
			return r.Failed
		case r.Ready && ctx.Err() == nil:
			if _, err := io.WriteString(p.Stdin, agreed); err == nil {
				return nil
			}
		}
	}
	return ErrDied
}

// Owner is the other side.
type Owner struct {
	in      *bufio.Reader
	reports io.Writer

	mu    sync.Mutex
	quiet bool // the parent has gone its way
}

// NewOwner reads the bootstrap.
func NewOwner(stdin io.Reader, reports io.Writer) (*Owner, Bootstrap, error) {
	o := &Owner{in: bufio.NewReader(stdin), reports: reports}
	var bootstrap Bootstrap
	line, err := o.line()
	if err != nil {
		return nil, bootstrap, fmt.Errorf("reading the bootstrap: %w", err)
	}
	if err := json.Unmarshal(line, &bootstrap); err != nil {
		// The text may hold secrets: of it nothing is quoted.
		return nil, Bootstrap{}, errors.New("reading the bootstrap: this is none")
	}
	if bootstrap.Version != Version {
		return nil, Bootstrap{}, fmt.Errorf("reading the bootstrap: it has version %d, not %d", bootstrap.Version, Version)
	}
	return o, bootstrap, nil
}

func (o *Owner) line() ([]byte, error) {
	var line []byte
	for {
		part, err := o.in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, fmt.Errorf("more than %d bytes", maxLine)
		}
		if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// Answer waits for what the parent has to say after Ready. False: it is gone, or calls the
// launch off.
func (o *Owner) Answer() bool {
	line, err := o.line()
	return err == nil && string(line) == agreed
}

// Send implements [event.Sink]. Events of a parent that is gone are dropped.
func (o *Owner) Send(_ context.Context, e event.Event) { o.report(report{Event: &e}) }

// Ready asks the parent whether the bottle is still wanted.
func (o *Owner) Ready() { o.report(report{Ready: true}) }

// Fail tells the parent how the launch failed.
func (o *Owner) Fail(failure Failure) { o.report(report{Failed: &failure}) }

func (o *Owner) report(r report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.quiet {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = o.reports.Write(append(line, '\n'))
	}
	o.quiet = err != nil
}
