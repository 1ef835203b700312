package control

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Init is the bundle's end. Next belongs to one goroutine; the rest may be called from any.
type Init struct {
	in  io.Reader
	mu  sync.Mutex
	out io.Writer
}

// NewInit speaks over the container's stdin and stdout.
func NewInit(in io.Reader, out io.Writer) *Init { return &Init{in: in, out: out} }

// Next returns the host's next [Bootstrap], [Deliver], [Answer] or [Shutdown]; io.EOF when the host
// is gone for good, ErrProtocol when it cannot be understood any more.
func (i *Init) Next() (any, error) {
	message, err := readFrame(i.in)
	if err != nil {
		return nil, err
	}
	defer clear(message.Body)
	switch message.Type {
	case typeBootstrap:
		var wire wireBootstrap
		if err := decodeBody(message, &wire); err != nil {
			return nil, err
		}
		b, err := wire.parse()
		if err != nil {
			return nil, err
		}
		return b, nil
	case typeDeliver:
		var wire wireDeliver
		if err := decodeBody(message, &wire); err != nil {
			return nil, err
		}
		inputs, err := parseInputs(wire.Inputs)
		if err != nil {
			return nil, err
		}
		deliver := Deliver{Daemon: wire.Daemon, Inputs: inputs}
		return deliver, deliver.check()
	case typeAnswer:
		var answer Answer
		if err := decodeBody(message, &answer); err != nil {
			return nil, err
		}
		answer.Body = bytes.Clone(answer.Body) // the frame is cleared
		return answer, nil
	case typeShutdown:
		return Shutdown{}, decodeBody(message, &struct{}{})
	}
	return nil, fmt.Errorf("%w: unknown type %.40q", ErrProtocol, message.Type)
}

// Ready says that every selected daemon answers.
func (i *Init) Ready() error { return i.send(typeReady, struct{}{}) }

// Event reports what happened to a daemon.
func (i *Init) Event(e Event) error {
	e.Detail = plain(e.Detail)
	return i.send(typeEvent, e)
}

// Refuse says why init does not do what the host asked.
func (i *Init) Refuse(text string) error { return i.send(typeRefused, wireRefused{plain(text)}) }

// Ask passes a daemon's question on; the host's [Answer] has the same ID.
func (i *Init) Ask(q Question) error { return i.send(typeAsk, q) }

func (i *Init) send(kind string, body any) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return writeFrame(i.out, kind, body)
}
