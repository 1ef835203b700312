package control

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"bottle.internal/internal/secret"
)

// maxText bounds what init says in words, so that its frames stay below PIPE_BUF and are
// never split.
const maxText = 512

// MaxQuestion bounds what a daemon asks, in bytes of JSON: init holds the questions of all
// daemons in the memory that they share.
const MaxQuestion = 256 << 10

// MaxInputs bounds the inputs of one daemon, names and values together, in bytes.
const MaxInputs = 512 << 10

var (
	daemonName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	questionKind = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// Bootstrap is all that init must know and may not read from its environment or a file.
type Bootstrap struct {
	// Daemons to run. nil leaves it to BOTTLE_DAEMONS; an empty list runs none.
	Daemons []string
	// Inputs by daemon: configuration, keys and tokens. A daemon gets its own alone.
	Inputs map[string]Inputs
}

// Inputs are what one daemon works with, by name; at most [MaxInputs] together.
type Inputs map[string]secret.Value

// Deliver replaces all inputs of one daemon.
type Deliver struct {
	Daemon string
	Inputs Inputs
}

// Answer is the host's answer to a question of a daemon.
type Answer struct {
	ID    uint64          `json:"id"`
	Error string          `json:"error,omitempty"` // why there is no body
	Body  json.RawMessage `json:"body,omitempty"`
}

// Question is what a daemon wants to know from the host.
type Question struct {
	Daemon string          `json:"daemon,omitempty"` // init says who asks; a daemon cannot
	ID     uint64          `json:"id"`
	Kind   string          `json:"kind"`
	Body   json.RawMessage `json:"body"`
}

// Shutdown asks init to end its daemons and itself.
type Shutdown struct{}

// What says what happened to a daemon.
type What string

// The kinds of event.
const (
	Started    What = "start"   // Detail: the pid
	Died       What = "death"   // Detail: the exit status
	Restarting What = "restart" // Detail: the pause before it
	GaveUp     What = "give-up" // Detail: the count; init goes on trying, slowly
	Delivered  What = "reload"
)

func whats() []What { return []What{Started, Died, Restarting, GaveUp, Delivered} }

// Event is one thing that happened to a daemon.
type Event struct {
	Daemon string `json:"daemon"`
	What   What   `json:"what"`
	Detail string `json:"detail"`
}

type wireBootstrap struct {
	Daemons []string                     `json:"daemons"` // null differs from []
	Inputs  map[string]map[string]string `json:"inputs"`  // base64
}

type wireDeliver struct {
	Daemon string            `json:"daemon"`
	Inputs map[string]string `json:"inputs"` // base64
}

type wireInputs struct {
	Inputs map[string]string `json:"inputs"` // base64
}

type wireRefused struct {
	Text string `json:"text"`
}

func (b Bootstrap) wire() wireBootstrap {
	wire := wireBootstrap{
		Daemons: b.Daemons, Inputs: make(map[string]map[string]string, len(b.Inputs)),
	}
	for daemon, inputs := range b.Inputs {
		wire.Inputs[daemon] = inputs.wire()
	}
	return wire
}

func (i Inputs) wire() map[string]string {
	wire := make(map[string]string, len(i))
	for name, value := range i {
		wire[name] = base64.StdEncoding.EncodeToString([]byte(value.Reveal()))
	}
	return wire
}

func parseInputs(wire map[string]string) (Inputs, error) {
	inputs := make(Inputs, len(wire))
	for name, encoded := range wire {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("%w: inputs.%.32q: %w", ErrProtocol, name, err)
		}
		inputs[name] = secret.New(string(text))
	}
	return inputs, nil
}

func (w wireBootstrap) parse() (Bootstrap, error) {
	b := Bootstrap{Daemons: w.Daemons}
	for daemon, wire := range w.Inputs {
		inputs, err := parseInputs(wire)
		if err != nil {
			return Bootstrap{}, err
		}
		if b.Inputs == nil {
			b.Inputs = map[string]Inputs{}
		}
		b.Inputs[daemon] = inputs
	}
	return b, b.check()
}

func (d Deliver) check() error { return checkInputs(d.Daemon, d.Inputs) }

// check holds on both sides: the host should not find out from a dead container.
func (b Bootstrap) check() error {
	for i, name := range b.Daemons {
		if !daemonName.MatchString(name) {
			return fmt.Errorf("%w: daemons[%d]: %.40q is no name of a daemon", ErrProtocol, i, name)
		}
		if slices.Contains(b.Daemons[:i], name) {
			return fmt.Errorf("%w: daemons[%d]: %q is there twice", ErrProtocol, i, name)
		}
	}
	for name, inputs := range b.Inputs {
		if err := checkInputs(name, inputs); err != nil {
			return err
		}
	}
	return nil
}

func checkInputs(daemon string, inputs Inputs) error {
	if !daemonName.MatchString(daemon) {
		return fmt.Errorf("%w: inputs: %.40q is no name of a daemon", ErrProtocol, daemon)
	}
	size := 0
	for key, value := range inputs {
		if key == "" {
			return fmt.Errorf("%w: inputs.%s: an input without a name", ErrProtocol, daemon)
		}
		size += len(key) + len(value.Reveal())
	}
	if size > MaxInputs {
		return fmt.Errorf("%w: inputs.%s: %d bytes, a daemon gets at most %d", ErrProtocol, daemon, size, MaxInputs)
	}
	return nil
}

func (q Question) check() error {
	if !questionKind.MatchString(q.Kind) {
		return fmt.Errorf("%w: %.40q is no kind of question", ErrProtocol, q.Kind)
	}
	return nil
}

// checkSize is for the daemon's side alone: JSON has several spellings, and init's may be
// longer than the daemon's.
func (q Question) checkSize() error {
	if len(q.Body) > MaxQuestion {
		return fmt.Errorf("%w: a question of %d bytes, at most %d are allowed", ErrProtocol, len(q.Body), MaxQuestion)
	}
	return nil
}

func (e Event) check() error {
	if !daemonName.MatchString(e.Daemon) || !slices.Contains(whats(), e.What) {
		return fmt.Errorf("%w: event %.40q of %.40q", ErrProtocol, e.What, e.Daemon)
	}
	return nil
}

// plain makes text from the container fit for a terminal.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
