//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"

	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/integration/rig"
)

const (
	sharedAgent = "it-probed"
	guestProbe  = "/home/agent/probe"
	proxy       = "127.0.0.1:8888"
)

// live is the bottle that the probes share, with an upstream in its network.
type live struct {
	*world
	id       string
	process  *process
	upstream *testcontainers.DockerContainer
	cmdlines sampler
	err      error
}

// theBottle starts it with the first test that asks.
func theBottle(t *testing.T) *live {
	t.Helper()
	setup(t)
	l := shared.live()
	if l.err != nil {
		t.Fatalf("the shared bottle: %v", l.err)
	}
	return l
}

func startShared(w *world) *live {
	l := &live{world: w}
	ctx := context.Background()
	l.cmdlines.start()
	var err error
	if l.process, err = w.start(nil, "start", sharedAgent, "--yes", "--rm"); err != nil {
		l.err = err
		return l
	}
	// Pushed first, so that it is closed after the upstream has left its network.
	shared.Later(func() error { l.process.finish(); return l.endedWell() })
	if l.err = l.up(); l.err != nil {
		return l
	}
	l.cmdlines.stop()
	l.upstream, l.err = l.startUpstream(ctx)
	if l.upstream != nil {
		shared.Later(func() error {
			return testcontainers.TerminateContainer(l.upstream, testcontainers.StopTimeout(0))
		})
	}
	if l.err != nil {
		return l
	}
	l.err = l.bringProbe(ctx)
	return l
}

// up waits until the agent has spoken.
func (l *live) up() error {
	for begin := time.Now(); time.Since(begin) < 4*time.Minute; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(l.process.stdout.String(), "the agent is up") {
			l.id = rig.Identity(l.process.stderr.String())
			return nil
		}
		select {
		case <-l.process.ended:
			return fmt.Errorf("it ended with %d:\n%s", l.process.code, l.process)
		default:
		}
	}
	return fmt.Errorf("it did not start in time:\n%s", l.process)
}

func (l *live) endedWell() error {
	if l.process.code != 130 {
		return fmt.Errorf("the shared bottle ended with %d, want 130 after a signal:\n%s", l.process.code, l.process)
	}
	return nil
}

// startUpstream adds a container that is alive under several names, of which the
// manifest lists some.
func (l *live) startUpstream(ctx context.Context) (*testcontainers.DockerContainer, error) {
	names := []string{"up.bottle.test", "plain.bottle.test", "alive.bottle.test"}
	return l.Beside(ctx, l.probe,
		network.WithNetworkName(names, bundle.KindNetwork.Name(l.id)),
		testcontainers.WithCmd(append([]string{"serve"}, names...)...),
		testcontainers.WithLabels(map[string]string{"bottle.test": "integration"}),
	)
}

// bringProbe sends the program through `bottle exec`, which is a test of its stdin.
func (l *live) bringProbe(ctx context.Context) error {
	program, err := os.ReadFile(l.probe)
	if err != nil {
		return err
	}
	p, err := l.start(bytes.NewReader(program), "exec", l.id, "--", "sh", "-c", "cat >"+guestProbe+" && chmod 755 "+guestProbe)
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.finish()
	}
	if p.code != 0 {
		return fmt.Errorf("sending the probe: exit %d: %s", p.code, p)
	}
	return ctx.Err()
}

// exec runs a command in the guest as the agent.
func (l *live) exec(t *testing.T, command ...string) rig.Result {
	t.Helper()
	return l.bottle(t, append([]string{"exec", l.id, "--"}, command...)...)
}

// sh is exec of a script that must succeed; it returns what it printed.
func (l *live) sh(t *testing.T, script string) string {
	t.Helper()
	return strings.TrimSpace(l.good(t, "exec", l.id, "--", "sh", "-c", script).Stdout)
}

// probeGuest runs the probe in the guest and returns its lines.
func (l *live) probeGuest(t *testing.T, args ...string) string {
	t.Helper()
	result := l.exec(t, append([]string{guestProbe}, args...)...)
	if result.Code != 0 {
		t.Fatalf("probe %s: %s", strings.Join(args, " "), result)
	}
	return strings.TrimSpace(result.Stdout)
}

// probeBeside runs the probe in the upstream's container, which shares the bundle's
// network.
func (l *live) probeBeside(t *testing.T, args ...string) string {
	t.Helper()
	said, err := rig.InContainer(t.Context(), l.upstream, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// probeHost runs the probe on the host.
func (l *live) probeHost(t *testing.T, change func(*exec.Cmd), args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.probe, args...)
	cmd.Dir = "/"
	if change != nil {
		change(cmd)
	}
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("probe %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(said))
}

// seen is what the upstream has counted.
type seen struct {
	Accepted map[string]int `json:"accepted"`
	Names    map[string]int `json:"names"`
	Requests int            `json:"requests"`
}

func (l *live) seen(t *testing.T) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(l.probeBeside(t, "counts")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// container inspects one of the bottle's own.
func (l *live) container(t *testing.T) client.ContainerInspectResult {
	t.Helper()
	result, err := l.engine.ContainerInspect(t.Context(), bundle.KindBundle.Name(l.id), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// reachableFromBundle proves that a target is alive for the one who must refuse it.
func (l *live) reachableFromBundle(t *testing.T, target string) {
	t.Helper()
	if err := rig.DialFromBundle(t.Context(), l.engine, l.id, target); err != nil {
		t.Fatalf("the control: %v", err)
	}
}

// sampler looks at every command line of the machine while it runs.
type sampler struct {
	mu     sync.Mutex
	seen   map[string]int // command line by how often
	rounds int
	quit   chan struct{}
	done   sync.WaitGroup
}

func (s *sampler) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	s.quit = make(chan struct{})
	s.done.Go(func() {
		for {
			lines := rig.CommandLines()
			s.mu.Lock()
			s.rounds++
			for _, line := range lines {
				s.seen[line]++
			}
			s.mu.Unlock()
			select {
			case <-s.quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
}

func (s *sampler) stop() {
	close(s.quit)
	s.done.Wait()
}

// with returns the command lines that contain text.
func (s *sampler) with(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for line := range s.seen {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
