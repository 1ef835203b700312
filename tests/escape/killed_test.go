//go:build integration && linux

package escape

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/daemons"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
)

// back is how soon everything has to work again after a death.
const back = 20 * time.Second

// ways are the four that a guest has, each through other daemons.
func ways() []attempt {
	get := func(host, path string) attack {
		return attack{
			Probe: probe.Probe{Kind: "hello", Target: host + ":443", Via: proxy},
			Say:   []string{host, "GET " + path + " HTTP/1.1", "Host: " + host, "Connection: close"},
		}
	}
	return []attempt{
		{name: "plain", attack: get("up.bottle.test", "/bytes/1")},
		{name: "routed", attack: get("api.bottle.test", "/v1/killed")},
		{name: "git", attack: askAt(gitGate, "/app.git/info/refs?service=git-upload-pack")},
		{name: "ask", attack: askAt("127.0.0.1:9100", "/health")},
	}
}

// askAt is a GET at a daemon's own port in the guest.
func askAt(at, path string) attack {
	return attack{Probe: probe.Probe{Kind: "say", Target: at}, Say: []string{"GET " + path + " HTTP/1.1\r\nHost: " + at + "\r\nConnection: close\r\n\r\n"}}
}

// open lists the ways that answer at the moment.
func (s *scene) open(t *testing.T) (open []string, said []probe.Observation) {
	t.Helper()
	said = s.try(t, false, ways())
	for _, o := range said {
		if o.Reached {
			open = append(open, o.Name)
		}
	}
	return open, said
}

// killed takes the daemons away, one by one and all together, while the guest tries.
func killed(t *testing.T, s *scene) {
	pids, err := rig.Daemons(t.Context(), s.engine, bundle.KindBundle.Name(s.id))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pids["init"], 0); err != nil {
		rig.Need(t, "root", fmt.Errorf("the engine's processes cannot be killed from here: %w", err))
	}
	for _, c := range []struct {
		dead  []string
		stays []string // the ways that do not need it
	}{
		{[]string{daemons.Gate}, nil},
		{[]string{daemons.Firewall}, []string{"git", "ask"}},
		{[]string{daemons.Egress}, []string{"plain", "git", "ask"}},
		{[]string{daemons.GitGate}, []string{"plain", "routed", "ask"}},
		{[]string{daemons.Supervise}, []string{"plain", "routed", "git"}},
		{[]string{daemons.Gate, daemons.Firewall, daemons.Egress, daemons.GitGate, daemons.Supervise}, nil},
	} {
		s.withDead(t, c.dead, c.stays)
	}
	s.withoutBundle(t)
}

// withDead stops init first, so that what is dead stays so until the guest has tried.
func (s *scene) withDead(t *testing.T, dead, stays []string) {
	name := bundle.KindBundle.Name(s.id)
	pids, err := rig.Daemons(t.Context(), s.engine, name)
	if err != nil {
		t.Fatal(err)
	}
	all := s.allOpen(t, "before "+strings.Join(dead, ", ")+" is killed")
	if err := syscall.Kill(pids["init"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pids["init"], syscall.SIGCONT) }()
	for _, d := range dead {
		if err := syscall.Kill(pids[d], syscall.SIGKILL); err != nil {
			t.Fatalf("%s: %v", d, err)
		}
	}
	before := s.counts(t)
	open, said := s.open(t)
	came := s.counts(t)["beside host up.bottle.test"] - before["beside host up.bottle.test"]
	problem := ""
	if !slices.Equal(open, stays) || came > 0 != slices.Contains(stays, "plain") {
		problem = fmt.Sprintf("%q are open, %d came", open, came)
	}
	begin := time.Now()
	_ = syscall.Kill(pids["init"], syscall.SIGCONT)
	s.allOpen(t, "after "+strings.Join(dead, ", ")+" was killed")
	expected := "nothing leaves"
	if len(stays) > 0 {
		expected = "only " + strings.Join(stays, ", ")
	}
	table.add(t, row{
		probe: "killed: " + strings.Join(dead, ", "), control: strings.Join(all, ", ") + " answer before and after", expected: expected,
		observed: fmt.Sprintf("%d came, open: %s; all are back after %v; %s", came, orNone(open), time.Since(begin).Round(100*time.Millisecond), tell(said)),
	}, problem)
}

// allOpen waits until every way answers.
func (s *scene) allOpen(t *testing.T, when string) []string {
	t.Helper()
	var open []string
	eventually.Fine(t, back, func() string {
		var said []probe.Observation
		if open, said = s.open(t); len(open) == len(ways()) {
			return ""
		}
		return when + ": " + tell(said)
	})
	return open
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func tell(said []probe.Observation) string {
	var list []string
	for _, o := range said {
		list = append(list, o.Name+": "+o.Saw)
	}
	return strings.Join(list, "; ")
}

// withoutBundle kills the container. Whatever the guest is told until the bundle is back,
// every request that arrives anywhere is one that was answered.
func (s *scene) withoutBundle(t *testing.T) {
	name := bundle.KindBundle.Name(s.id)
	if _, err := s.engine.ContainerPause(t.Context(), name, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	before := s.counts(t)
	open, said := s.openWithin(t, 3)
	came := s.counts(t)["beside host up.bottle.test"] - before["beside host up.bottle.test"]
	if _, err := s.engine.ContainerUnpause(t.Context(), name, client.ContainerUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	problem := ""
	if len(open) > 0 || came > 0 {
		problem = fmt.Sprintf("%q are open, %d came", open, came)
	}
	if _, err := s.engine.ContainerKill(t.Context(), name, client.ContainerKillOptions{}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.allOpen(t, "after the bundle was killed")
	table.add(t, row{
		probe: "frozen, then killed: the whole bundle", control: "all answer before and after", expected: "nothing leaves",
		observed: fmt.Sprintf("%d came; all are back after %v; %s", came, time.Since(begin).Round(100*time.Millisecond), tell(said)),
	}, problem)
}

// openWithin is open for a guest that does not wait longer than it is told.
func (s *scene) openWithin(t *testing.T, seconds int) ([]string, []probe.Observation) {
	t.Helper()
	said := s.in(t, s.id, "", fmt.Sprintf("curl -sS -m %d -o /dev/null -w '%%{http_code}' https://echo.bottle.test/ 2>&1 || true", seconds))
	var open []string
	if strings.HasSuffix(said.Stdout, "200") {
		open = append(open, "plain")
	}
	return open, []probe.Observation{{Name: "plain", Saw: strings.TrimSpace(said.Stdout)}}
}
