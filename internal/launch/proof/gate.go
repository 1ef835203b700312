package proof

import (
	"io"
	"sync"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
)

// gate asks the guest for its probes, and holds an archive back until the guest has said
// the word of proof and the host likes what the probes found.
type gate struct {
	nonce   guestapi.Nonce
	probes  io.Reader
	archive io.Reader
	errors  io.Writer // gets what the guest says after the proof
	judge   func([]probe.Observation) error
	opened  func()
	refused func()

	said    []byte // of the word of proof
	line    probe.Line
	refusal error // the guest did not pass

	proof, end chan struct{}
	once       sync.Once
}

// Read gives the probes, and the archive's bytes once there is a proof.
func (g *gate) Read(p []byte) (int, error) {
	if n, err := g.probes.Read(p); err == nil {
		return n, nil
	}
	select {
	case <-g.proof:
		return g.archive.Read(p)
	case <-g.end:
		return 0, io.EOF
	}
}

// close ends a Read that still waits.
func (g *gate) close() { g.once.Do(func() { close(g.end) }) }

func (g *gate) isOpen() bool {
	select {
	case <-g.proof:
		return true
	default:
		return false
	}
}

// stdout looks for the word of proof at the very beginning of what is written, and for the
// line of observations after it. Whatever else comes opens nothing.
func (g *gate) stdout() io.Writer {
	word := guestapi.Proved(g.nonce)
	return writer(func(p []byte) {
		missing := min(len(p), len(word)-len(g.said))
		g.said = append(g.said, p[:missing]...)
		if string(g.said) != word || g.refusal != nil || g.isOpen() {
			return
		}
		whole, err := g.line.Add(p[missing:])
		if whole && err == nil {
			err = g.read()
		}
		switch {
		case err != nil:
			g.refusal = err
			g.close()
			g.refused()
		case whole:
			g.opened()
			close(g.proof)
		}
	})
}

func (g *gate) read() error {
	said, err := probe.Parse[probe.Observation](g.line.Bytes())
	if err != nil {
		return err
	}
	return g.judge(said)
}

// stderr drops the reasons of an attempt without a proof: there will be another one.
func (g *gate) stderr() io.Writer {
	return writer(func(p []byte) {
		if g.isOpen() {
			_, _ = g.errors.Write(p)
		}
	})
}

// writer is a Write that never fails.
type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
