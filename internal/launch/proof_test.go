package launch_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/pkg/smolvm"
)

// Whatever shows that there is another way out ends the launch before the guest gets
// anything, and names the probe.
func TestABoundaryThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		probed func([]probe.Probe, []probe.Observation) []probe.Observation
		want   string
	}{
		"the guest says that it got out": {func(_ []probe.Probe, said []probe.Observation) []probe.Observation {
			said[1].Reached, said[1].Saw = true, "connected\x1b[2J"
			return said
		}, `expected blocked: the guest says "connected\\x1b[2J", 0 connections came`},
		"the guest lies, and somebody came": {func(probes []probe.Probe, said []probe.Observation) []probe.Observation {
			conn, err := net.Dial("tcp", probes[1].Target)
			if err != nil {
				t.Error(err)
				return nil
			}
			_, _ = io.WriteString(conn, "a stranger's words")
			_, _ = io.ReadAll(conn) // until it is judged
			return said
		}, `expected blocked: the guest says "as it should be", 1 connections came`},
		"an answer is missing": {func(_ []probe.Probe, said []probe.Observation) []probe.Observation {
			return said[:len(said)-1]
		}, `the guest says "no answer", 0 connections came`},
		"an answer is there twice": {func(_ []probe.Probe, said []probe.Observation) []probe.Observation {
			return append(said, said[1])
		}, `the guest says "no answer", 0 connections came`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.probed = test.probed
			_, err := w.start(t.Context())
			broken := (*proof.BoundaryError)(nil)
			if !errors.As(err, &broken) || !strings.HasPrefix(err.Error(), "the boundary does not hold: ") || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("Start() = %v, want ...%s", err, test.want)
			}
			if broken != nil && broken.Result.Verdict != boundary.Failed {
				t.Errorf("%+v", broken.Result)
			}
			if strings.Join(w.archives, "") != "" {
				t.Error("the guest got the archive")
			}
			w.nothingLeft()
		})
	}
}

// A firewall that does not answer in time is no breach: the guest is asked again.
func TestALateFirewallIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := 0
	w.probed = func(_ []probe.Probe, said []probe.Observation) []probe.Observation {
		asked++
		said[0].Reached = asked > 1
		return said
	}
	bottle, err := w.start(t.Context())
	if err != nil || asked != 2 {
		t.Fatalf("Start() = %v after %d times", err, asked)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}

// After the proof a killed command is tried once more, with a proof of its own.
func TestKilledAfterTheProof(t *testing.T) {
	t.Parallel()
	for kills, want := range map[int]string{
		1: "<nil>",
		2: "provisioning: the guest reported no exit code: the VM tool ended with status 137",
	} {
		w := newWorld(t)
		deps := w.deps()
		calls := 0
		deps.Machine = scripted{fakeMachine{w}, func(ctx context.Context, o smolvm.ExecOptions) (int, error) {
			if calls++; calls <= kills {
				said, _ := w.proof(bufio.NewReader(o.Stdin), nonceOf(o))
				_, _ = io.WriteString(o.Stdout, said)
				return 137, nil
			}
			return w.receive(ctx, o)
		}}
		bottle, err := launch.Start(t.Context(), w.plan, deps)
		if fmt.Sprint(err) != want || calls != 2 {
			t.Errorf("killed %d times: Start() = %v after %d calls, want %s", kills, err, calls, want)
		}
		if err == nil {
			err = bottle.Close(t.Context())
			if err != nil {
				t.Error(err)
			}
		}
		w.nothingLeft()
	}
}

// scripted is a machine whose provisioning is played by a test.
type scripted struct {
	fakeMachine
	provision func(context.Context, smolvm.ExecOptions) (int, error)
}

func (s scripted) Exec(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	if strings.Contains(strings.Join(o.Command, " "), " provision ") {
		return s.provision(ctx, o)
	}
	return s.fakeMachine.Exec(ctx, o)
}
