// Package probe is the guest's half of the boundary receipt: it tries every way out that
// there could be, and says what came of it.
//
// What a guest says is no proof: the host has a live listener for what it asks about, and
// its own counters (internal/boundary). So nothing here decides anything.
package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind says how a probe is tried.
type Kind string

// The kinds of probe. The first must answer, all others must not.
const (
	Health     Kind = "health"     // GET /health over TCP
	TCP        Kind = "tcp"        // a connection to an address
	UDP        Kind = "udp"        // a datagram, and an answer to it
	ICMP       Kind = "icmp"       // an echo request
	DNS        Kind = "dns"        // the system's resolver finds a name
	Connect    Kind = "connect"    // CONNECT through the proxy
	Plain      Kind = "plain"      // GET through the proxy
	Vsock      Kind = "vsock"      // a connection to "CID:PORT"
	Interfaces Kind = "interfaces" // a network interface other than lo
	Routes     Kind = "routes"     // a route to anywhere
	Packet     Kind = "packet"     // a raw packet sent out of an interface
	Listeners  Kind = "listeners"  // a TCP port that is open on another address than 127.0.0.1
	Sockets    Kind = "sockets"    // a mounted socket that is not in Target, names with commas
	Shares     Kind = "shares"     // a directory of the host that is not in Target: "TAG=ro,TAG=rw"
)

// The modes of a declared share: no write may pass, or a write may.
const (
	ReadOnly = "ro"
	Writable = "rw"
)

// Probe is one thing to try.
type Probe struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Target string `json:"target,omitempty"`
	Via    string `json:"via,omitempty"` // the proxy, of connect and plain
}

// Observation is what came of a probe.
type Observation struct {
	Name    string `json:"name"`
	Reached bool   `json:"reached"`
	Saw     string `json:"saw"` // in words, for people
}

// Limits of what is read from the other side, in bytes, and of one Saw.
const (
	maxLine = 64 << 10
	MaxSaw  = 200
)

// Write sends a list of probes or observations: one line of JSON.
func Write[T Probe | Observation](w io.Writer, list []T) error {
	data, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("writing probes: %w", err)
	}
	if _, err = w.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("writing probes: %w", err)
	}
	return nil
}

// Parse reads the line that Write has made, without its end.
func Parse[T Probe | Observation](line []byte) ([]T, error) {
	var list []T
	if err := json.Unmarshal(line, &list); err != nil {
		return nil, fmt.Errorf("reading probes: %w", err)
	}
	return list, nil
}

// ErrTooLong means that a line of probes has no end within its limit.
var ErrTooLong = errors.New("the line of probes is too long")

// ReadLine takes the first line of a stream, without its end. The rest is still to read.
func ReadLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, ErrTooLong
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("reading probes: %w", err)
		}
	}
}

// Line collects the first line out of pieces. It is the same as ReadLine for a Writer.
type Line struct{ data []byte }

// Add takes what p has of the line. Whole is true from the end of the line on.
func (l *Line) Add(p []byte) (whole bool, err error) {
	for i, c := range p {
		if c == '\n' {
			l.data = append(l.data, p[:i]...)
			return true, nil
		}
	}
	if l.data = append(l.data, p...); len(l.data) > maxLine {
		return false, ErrTooLong
	}
	return false, nil
}

// Bytes is the line so far.
func (l *Line) Bytes() []byte { return l.data }
