//go:build integration

package chain

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/daemons"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
	"bottle.internal/tests/need"
)

// back is how soon a daemon has to serve again: 0.2 s when nothing else runs.
const back = 20 * time.Second

// processes are the pids on the host of init and the daemons.
func (b *bottle) processes(t *testing.T) map[string]int {
	t.Helper()
	found, err := rig.Daemons(t.Context(), b.engine, b.container())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ways ask those daemons that the gate leads to: "" when one answers.
func (b *bottle) ways() map[string]func() string {
	health := func(port uint16) func() string {
		return func() string { return not200(b.health(port)) }
	}
	return map[string]func() string{
		daemons.Firewall:  health(portFirewall),
		daemons.GitGate:   health(portGit),
		daemons.Supervise: health(portSupervise),
	}
}

func not200(a answer) string {
	if a.status == http.StatusOK {
		return ""
	}
	return a.String()
}

// all works when the whole chain does.
func (b *bottle) all(t *testing.T) string {
	t.Helper()
	for name, way := range b.ways() {
		if problem := way(); problem != "" {
			return name + ": " + problem
		}
	}
	return not200(b.once(t, api+"/v1/x"))
}

// asker sends requests through the whole chain until it is stopped, one at a time.
type asker struct {
	good, bad atomic.Int64
	quit      chan struct{}
	done      sync.WaitGroup
}

func (b *bottle) ask(t *testing.T) *asker {
	a := &asker{quit: make(chan struct{})}
	a.done.Go(func() {
		for {
			select {
			case <-a.quit:
				return
			default:
			}
			if got := b.once(t, api+"/v1/asked"); got.status == http.StatusOK && strings.Contains(got.text, "the real one") {
				a.good.Add(1)
			} else {
				a.bad.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	return a
}

func (a *asker) stop() { close(a.quit); a.done.Wait() }

// A daemon that is killed takes its own way down with it and nothing else. It comes back,
// and that is said.
func TestKilledDaemon(t *testing.T) {
	b := start(t)
	if err := syscall.Kill(b.processes(t)["init"], 0); err != nil {
		need.Need(t, "root", fmt.Errorf("the engine's processes are not on this host: %w", err))
	}
	for _, d := range daemons.All() {
		t.Run(d.Name, func(t *testing.T) { testKilled(t, b, d.Name) })
	}
	t.Run("all of them", func(t *testing.T) {
		before := b.processes(t)
		for _, d := range daemons.All() {
			if err := syscall.Kill(before[d.Name], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		took := eventually.Fine(t, back, func() string { return b.all(t) })
		t.Logf("all are back after %v", took.Round(time.Millisecond))
	})
}

// testKilled stops init first, so that what is dead stays so until it was looked at.
func testKilled(t *testing.T, b *bottle, name string) {
	if problem := b.all(t); problem != "" {
		t.Fatalf("the control: %s", problem)
	}
	before := b.processes(t)
	arrived, said := b.requests(t, "api.bottle.test"), strings.Count(b.events.String(), name+": death killed by signal killed")
	asking := b.ask(t)
	eventually.Fine(t, back, func() string {
		if asking.good.Load() > 0 {
			return ""
		}
		return "the control: no request passes"
	})
	if err := syscall.Kill(before["init"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { _ = syscall.Kill(before["init"], syscall.SIGCONT) })
	defer resume()
	if err := syscall.Kill(before[name], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.meanwhile(t, name)
	begin := time.Now()
	resume()
	eventually.Fine(t, back, func() string { return b.all(t) })
	t.Logf("back %v after init saw the death", time.Since(begin).Round(time.Millisecond))
	asking.stop()
	if after := b.processes(t); after[name] == before[name] || after["init"] != before["init"] {
		t.Errorf("the processes were %v and are %v", before, after)
	}
	eventually.Fine(t, back, func() string {
		if strings.Count(b.events.String(), name+": death killed by signal killed") > said {
			return ""
		}
		return "nobody was told that it died"
	})
	if !onTheWay(name) && asking.bad.Load() > 0 {
		t.Errorf("%d requests failed", asking.bad.Load())
	}
	// Answers may be cut off on their way, so more may arrive than are answered.
	if got := int64(b.requests(t, "api.bottle.test") - arrived); got < asking.good.Load() {
		t.Errorf("%d arrived, %d were answered", got, asking.good.Load())
	}
}

// onTheWay tells whether requests pass through a daemon.
func onTheWay(name string) bool {
	return name == daemons.Gate || name == daemons.Firewall || name == daemons.Egress
}

// meanwhile looks at a bundle whose one daemon is dead, and init cannot help it.
func (b *bottle) meanwhile(t *testing.T, dead string) {
	t.Helper()
	arrived := b.arrived()
	for name, way := range b.ways() {
		problem := way()
		works := name != dead && dead != daemons.Gate // all ways lead through the gate
		if works && problem != "" {
			t.Errorf("while %s is dead, %s: %s", dead, name, problem)
		}
		if !works && problem == "" {
			t.Errorf("while %s is dead, %s answers", dead, name)
		}
	}
	through := onTheWay(dead)
	for range 3 {
		if got := b.once(t, api+"/v1/meanwhile"); through == (got.status == http.StatusOK) {
			t.Errorf("while %s is dead, a request gets %s", dead, got)
		}
	}
	if dead == daemons.Egress { // plain hosts need no egress; their TLS is not ours
		if got := b.connect(t, "plain.bottle.test:443"); !strings.HasPrefix(got, "200 ") {
			t.Errorf("while egress is dead, a plain host: %s", got)
		}
	}
	if through && b.arrived() != arrived {
		t.Errorf("while %s is dead, requests arrive", dead)
	}
}

// arrived counts the requests of meanwhile that reached the echo.
func (b *bottle) arrived() int { return strings.Count(b.echoLog.String(), "/v1/meanwhile") }

// The container is taken away in every way that the engine has. The bundle comes back by
// itself with all that it was told, or the person is told that it does not.
func TestKilledContainer(t *testing.T) {
	b := start(t)
	if got := b.once(t, later+"/docs/x"); got.status != 0 {
		t.Fatalf("before its approval: %s", got)
	}
	asked := make(chan error, 1)
	agent := b.agent(t)
	go func() {
		_, err := call(t.Context(), agent, "egress-allow", map[string]any{"host": "later.bottle.test", "paths": []string{"/docs/"}, "justification": "to read"})
		asked <- err
	}()
	b.approve(t)
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	works := func() string {
		if problem := b.all(t); problem != "" {
			return problem
		}
		return not200(b.once(t, later+"/docs/x"))
	}
	if problem := works(); problem != "" {
		t.Fatalf("the control: %s", problem)
	}
	now := 0
	for _, way := range []struct {
		name string
		do   func() error
	}{
		{"docker kill", func() error {
			_, err := b.engine.ContainerKill(t.Context(), b.container(), client.ContainerKillOptions{})
			return err
		}},
		{"docker restart", func() error {
			_, err := b.engine.ContainerRestart(t.Context(), b.container(), client.ContainerRestartOptions{Timeout: &now})
			return err
		}},
		{"docker stop", func() error {
			_, err := b.engine.ContainerStop(t.Context(), b.container(), client.ContainerStopOptions{})
			return err
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			told := strings.Count(b.events.String(), "the bundle is back")
			begin := time.Now()
			if err := way.do(); err != nil {
				t.Fatal(err)
			}
			eventually.Fine(t, eventually.Patience, func() string {
				if strings.Count(b.events.String(), "the bundle is back") == told {
					return "it does not come back: " + b.events.String()
				}
				return works()
			})
			t.Logf("the whole chain works again after %v", time.Since(begin).Round(time.Millisecond))
			if got := b.once(t, api+"/v1/x"); got.status != 200 || got.echoed(t).Credential != "the real one" {
				t.Errorf("with the token: %s", got)
			}
		})
	}
	t.Run("docker rm", func(t *testing.T) {
		if _, err := b.engine.ContainerRemove(t.Context(), b.container(), client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		eventually.Fine(t, eventually.Patience, func() string {
			if strings.Contains(b.events.String(), "it does not come back: ") {
				return ""
			}
			return "nobody was told: " + b.events.String()
		})
		if gate := b.sidecar.Gate(); gate != "" {
			t.Errorf("the gate is still at %s", gate)
		}
	})
}
