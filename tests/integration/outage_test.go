//go:build integration

package integration

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/daemons"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/integration/rig"
	"bottle.internal/tests/need"
)

// change is a line of `probe watch`.
type change struct {
	at   time.Duration
	what string
}

func (c change) String() string { return c.what + " at " + c.at.String() }

// watch lets the guest try again and again, breaks something meanwhile, and returns the
// changes that the guest saw and how often it was answered.
func (l *live) watch(t *testing.T, seconds int, breakIt func()) (changes []change, answered int) {
	t.Helper()
	p, err := l.start(nil, "exec", l.id, "--", guestProbe, "watch", proxy, "up.bottle.test:443", strconv.Itoa(seconds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	p.said(t, " ok ")
	breakIt()
	if code := p.end(t, time.Duration(seconds)*time.Second+time.Minute); code != 0 {
		t.Fatalf("exit %d: %s", code, p)
	}
	for line := range strings.Lines(p.stdout.String()) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if rest == "answered" {
			answered = n
			continue
		}
		what, _, _ := strings.Cut(rest, " ")
		changes = append(changes, change{time.Duration(n) * time.Millisecond, what})
	}
	return changes, answered
}

// outage is the time between the first failure and the next answer.
func outage(t *testing.T, changes []change) time.Duration {
	t.Helper()
	down := -1
	for i, c := range changes {
		switch {
		case c.what == "down" && down < 0:
			down = i
		case c.what == "ok" && down >= 0:
			return changes[len(changes)-1].at - changes[down].at
		}
	}
	t.Fatalf("no outage that ended: %v", changes)
	return 0
}

// The firewall dies: nothing leaves until it is back, and it is back soon.
func TestFirewallIsKilled(t *testing.T) {
	l := theBottle(t)
	before := l.seen(t)
	changes, answered := l.watch(t, 6, func() { l.killFirewall(t) })
	took := outage(t, changes)
	t.Logf("away for %v: %v", took, changes)
	if took > 5*time.Second { // on an idle machine less than 2
		t.Errorf("it was away for %v", took)
	}
	if after := l.seen(t); after.Requests-before.Requests > answered+1 {
		t.Errorf("the upstream saw %d requests, the guest got %d answers", after.Requests-before.Requests, answered)
	}
	if log := l.process.stderr.String(); !strings.Contains(log, "bundle: warning: firewall: death killed by signal killed\n") {
		t.Errorf("the operator was not told: %s", log)
	}
}

// killFirewall kills the daemon, not its container.
func (l *live) killFirewall(t *testing.T) {
	t.Helper()
	pids, err := rig.Daemons(t.Context(), l.engine, bundle.KindBundle.Name(l.id))
	if err != nil {
		t.Fatal(err)
	}
	pid, ok := pids[daemons.Firewall]
	if !ok {
		t.Fatalf("no firewall among %v", pids)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		need.Need(t, "root", fmt.Errorf("the engine's processes are not on this host: %w", err))
	}
}

// The whole bundle dies: the guest has no way out, the agent lives on, and everything
// works again when the bundle is back, with the key over stdin and nowhere else.
func TestBundleIsKilled(t *testing.T) {
	l := theBottle(t)
	agent := l.sh(t, "pgrep -u agent -x sleep")
	before := l.seen(t)
	gate := l.addresses(t).gate
	changes, answered := l.watch(t, 12, func() {
		if _, err := l.engine.ContainerKill(t.Context(), bundle.KindBundle.Name(l.id), client.ContainerKillOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	took := outage(t, changes)
	t.Logf("away for %v: %v; the gate was at %s and is at %s", took, changes, gate, l.addresses(t).gate)
	if took > 10*time.Second {
		t.Errorf("it was away for %v", took)
	}
	if after := l.seen(t); after.Requests-before.Requests > answered+1 {
		t.Errorf("the upstream saw %d requests, the guest got %d answers", after.Requests-before.Requests, answered)
	}
	if got := l.sh(t, "pgrep -u agent -x sleep"); got != agent {
		t.Errorf("the agent was process %s and is %s", agent, got)
	}
	for _, want := range []string{"nothing leaves the guest until it is back", "the bundle is back"} {
		if !strings.Contains(l.process.stderr.String(), want) {
			t.Errorf("the operator was not told %q:\n%s", want, l.process.stderr.String())
		}
	}
	want := fmt.Sprintf("%s\tit-probed\trunning", l.id)
	if list := l.good(t, "list"); !strings.Contains(strings.Join(strings.Fields(list.Stdout), "\t"), want) {
		t.Errorf("the list: %s", list)
	}
}
