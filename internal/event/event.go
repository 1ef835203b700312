// Package event carries progress from the code that works to the person who waits.
//
// Producers know only [Sink]; a tty, a plain log and JSON lines are three sinks.
package event

import "context"

// Kind says what happened to a step.
type Kind string

// The kinds of event.
const (
	Start    Kind = "start"    // a step began
	Progress Kind = "progress" // Done of Total units (bytes unless Unit says else)
	Done     Kind = "done"     // a step ended well
	Skip     Kind = "skip"     // a step was not needed; Text says why
	Warn     Kind = "warn"     // something the operator should know
	Info     Kind = "info"     // a line worth showing
)

// Event is one thing that happened.
type Event struct {
	Kind  Kind   `json:"kind"`
	Step  string `json:"step"`           // stable short name: "base", "layer", "push", "pack", "boot"
	Part  string `json:"part,omitempty"` // what of the step, where several go on side by side
	Text  string `json:"text,omitempty"` // for people
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"` // 0: unknown
}

// key tells what goes on side by side apart.
func (e Event) key() string { return e.Step + "\x00" + e.Part }

// Sink receives events. It must be safe for concurrent use and must not block long.
type Sink interface {
	Send(ctx context.Context, e Event)
}

// SinkFunc adapts a function.
type SinkFunc func(ctx context.Context, e Event)

// Send implements [Sink].
func (f SinkFunc) Send(ctx context.Context, e Event) { f(ctx, e) }

// Tee sends every event to all of the sinks.
func Tee(sinks ...Sink) Sink {
	return SinkFunc(func(ctx context.Context, e Event) {
		for _, sink := range sinks {
			sink.Send(ctx, e)
		}
	})
}

// Discard drops every event.
func Discard() Sink { return SinkFunc(func(context.Context, Event) {}) }
