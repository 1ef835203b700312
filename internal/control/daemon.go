package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
)

// DaemonFDEnv names the descriptor of a daemon's channel to init.
const DaemonFDEnv = "BOTTLE_CONTROL_FD"

// AnswerError is the host's own word on why a question has no answer.
type AnswerError struct{ Text string }

func (e *AnswerError) Error() string { return e.Text }

// Daemon is a daemon's end of its channel to init: its inputs arrive on it, and it can ask
// the host. Its owner calls Close.
type Daemon struct {
	conn   io.ReadWriteCloser
	inputs chan Inputs
	ended  chan struct{}
	err    error // why it ended; valid after ended

	mu      sync.Mutex
	serial  uint64
	waiting map[uint64]chan Answer
	write   sync.Mutex // one frame at a time
}

// OpenDaemon opens the channel that init left to this process.
func OpenDaemon() (*Daemon, error) {
	fd, err := strconv.ParseUint(os.Getenv(DaemonFDEnv), 10, 16)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("there is no channel to init: %s is %q", DaemonFDEnv, os.Getenv(DaemonFDEnv))
	}
	file := os.NewFile(uintptr(fd), "control")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("opening the channel to init: %w", err)
	}
	return NewDaemon(conn), nil
}

// NewDaemon speaks over conn and owns it.
func NewDaemon(conn io.ReadWriteCloser) *Daemon {
	d := &Daemon{
		conn: conn, inputs: make(chan Inputs, 1), ended: make(chan struct{}), waiting: map[uint64]chan Answer{},
	}
	go d.read()
	return d
}

// Inputs carries the inputs of the daemon: the first ones soon after its start, later ones
// when they change. A reader who is late gets the newest only. It is closed with the channel.
func (d *Daemon) Inputs() <-chan Inputs { return d.inputs }

// FirstInputs waits for the inputs to start with.
func (d *Daemon) FirstInputs(ctx context.Context) (Inputs, error) {
	select {
	case inputs, ok := <-d.inputs:
		if !ok {
			return nil, fmt.Errorf("waiting for the inputs: %w", d.err)
		}
		return inputs, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the inputs: %w", context.Cause(ctx))
	}
}

// Ask asks the host and decodes its answer, strictly, into answer, which may be nil. The
// host's refusal is an [*AnswerError].
func (d *Daemon) Ask(ctx context.Context, kind string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", kind, err)
	}
	id, reply := d.wait()
	defer d.forget(id)
	question := Question{ID: id, Kind: kind, Body: raw}
	err = question.checkSize() // init would not listen any more
	if err == nil {
		err = d.send(typeAsk, question)
	}
	if err != nil {
		return fmt.Errorf("asking for %s: %w", kind, err)
	}
	select {
	case got := <-reply:
		if got.Error != "" {
			return fmt.Errorf("asking for %s: %w", kind, &AnswerError{got.Error})
		}
		if answer == nil {
			return nil
		}
		return decode(got.Body, answer)
	case <-d.ended:
		return fmt.Errorf("asking for %s: %w", kind, d.err)
	case <-ctx.Done():
		return fmt.Errorf("asking for %s: %w", kind, context.Cause(ctx))
	}
}

// Close ends the channel. It may be called more than once.
func (d *Daemon) Close() error {
	err := d.conn.Close()
	<-d.ended
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (d *Daemon) wait() (uint64, <-chan Answer) {
	reply := make(chan Answer, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serial++
	d.waiting[d.serial] = reply
	return d.serial, reply
}

func (d *Daemon) forget(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, id)
}

func (d *Daemon) send(kind string, body any) error {
	d.write.Lock()
	defer d.write.Unlock()
	return writeFrame(d.conn, kind, body)
}

func (d *Daemon) read() {
	defer close(d.inputs)
	defer close(d.ended)
	for {
		if err := d.readOne(); err != nil {
			d.err = fmt.Errorf("the channel to init ended: %w", err)
			return
		}
	}
}

func (d *Daemon) readOne() error {
	message, err := readFrame(d.conn)
	if err != nil {
		return err
	}
	switch message.Type {
	case typeInputs:
		var wire wireInputs
		if err := decodeBody(message, &wire); err != nil {
			return err
		}
		inputs, err := parseInputs(wire.Inputs)
		if err != nil {
			return err
		}
		select { // the newest wins
		case <-d.inputs:
		default:
		}
		d.inputs <- inputs
	case typeAnswer:
		var answer Answer
		if err := decodeBody(message, &answer); err != nil {
			return err
		}
		d.mu.Lock()
		if reply, ok := d.waiting[answer.ID]; ok {
			reply <- answer
			delete(d.waiting, answer.ID)
		}
		d.mu.Unlock()
	default:
		return fmt.Errorf("%w: unknown type %.40q", ErrProtocol, message.Type)
	}
	return nil
}

// DaemonPeer is init's end of one daemon's channel. Next belongs to one goroutine; the rest
// may be called from any.
type DaemonPeer struct {
	conn io.ReadWriteCloser
	mu   sync.Mutex
}

// NewDaemonPeer speaks over conn and owns it.
func NewDaemonPeer(conn io.ReadWriteCloser) *DaemonPeer { return &DaemonPeer{conn: conn} }

// Inputs hands the daemon its inputs.
func (p *DaemonPeer) Inputs(inputs Inputs) error {
	return p.send(typeInputs, wireInputs{inputs.wire()})
}

// Answer passes the host's answer on; its ID is the daemon's own.
func (p *DaemonPeer) Answer(answer Answer) error { return p.send(typeAnswer, answer) }

// Next returns the daemon's next question; io.EOF when it is gone, ErrProtocol when it
// cannot be understood. Who asks is for the caller to say.
func (p *DaemonPeer) Next() (Question, error) {
	message, err := readFrame(p.conn)
	if err != nil {
		return Question{}, err
	}
	if message.Type != typeAsk {
		return Question{}, fmt.Errorf("%w: unknown type %.40q", ErrProtocol, message.Type)
	}
	var q Question
	if err := decodeBody(message, &q); err != nil {
		return Question{}, err
	}
	q.Daemon = ""
	return q, errors.Join(q.check(), q.checkSize())
}

// Close ends the channel.
func (p *DaemonPeer) Close() error { return p.conn.Close() }

func (p *DaemonPeer) send(kind string, body any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return writeFrame(p.conn, kind, body)
}
