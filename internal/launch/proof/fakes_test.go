package proof_test

import (
	"bufio"
	"bytes"
	"context"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/pkg/smolvm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine plays bottle-guest.
type machine func(context.Context, smolvm.ExecOptions) (int, error)

func (m machine) Exec(ctx context.Context, o smolvm.ExecOptions) (int, error) { return m(ctx, o) }

func guest(m machine) guestexec.Guest { return guestexec.Guest{Machine: m, Name: "bottle-demo-aaaaa"} }

func nonceOf(o smolvm.ExecOptions) guestapi.Nonce {
	return guestapi.Nonce(o.Command[slices.Index(o.Command, "--nonce")+1])
}

// checks are the way out that there is, and one that there must not be.
func checks() []boundary.Check {
	return []boundary.Check{
		{Probe: probe.Probe{Name: "firewall", Kind: probe.Health, Target: "127.0.0.1:8888"}, Answers: true},
		{Probe: probe.Probe{Name: "a way out", Kind: probe.TCP, Target: "192.0.2.1:443"}, Control: boundary.Control{Proof: "the host reached it"}},
	}
}

// holds is what a guest says that has one way out.
func holds(probes []probe.Probe) []probe.Observation {
	var said []probe.Observation
	for _, p := range probes {
		said = append(said, probe.Observation{Name: p.Name, Reached: p.Kind == probe.Health, Saw: "as it should be"})
	}
	return said
}

// proved is the word of proof and what a guest says of the probes that it was sent.
func proved(stdin *bufio.Reader, nonce guestapi.Nonce, says func([]probe.Probe) []probe.Observation) (string, error) {
	line, err := probe.ReadLine(stdin)
	if err != nil {
		return "", err
	}
	probes, err := probe.Parse[probe.Probe](line)
	if err != nil {
		return "", err
	}
	out := bytes.NewBufferString(guestapi.Proved(nonce))
	err = probe.Write(out, says(probes))
	return out.String(), err
}
