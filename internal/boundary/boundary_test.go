package boundary_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/tests/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, network string) *boundary.Listener {
	t.Helper()
	l, err := boundary.Listen(t.Context(), network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestListenersCountStrangersOnly(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		l := listen(t, network)
		if hits, proved := l.Evidence(); hits != 0 || proved {
			t.Fatalf("%s: fresh: hits %d, proved %v", network, hits, proved)
		}
		if err := l.Prove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if hits, proved := l.Evidence(); hits != 0 || !proved {
			t.Fatalf("%s: after the host's own proof: hits %d, proved %v", network, hits, proved)
		}
		conn, err := net.Dial(network, l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: a stranger was answered: %d bytes, %v", network, n, err)
		}
		_ = conn.Close()
		eventually.True(t, network+": the stranger is counted", func() bool { hits, _ := l.Evidence(); return hits == 1 })
	}
}

// Who holds a connection and says nothing was there all the same, at once.
func TestSilentStrangerIsCounted(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp")
	l.SetPatience(300 * time.Millisecond)
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually.True(t, "the stranger is accepted", func() bool { return l.Seen() == 1 })
	if hits, _ := l.Evidence(); hits != 1 {
		t.Errorf("hits %d", hits)
	}
}

// The end waits for nobody.
func TestCloseCutsTheSilent(t *testing.T) {
	t.Parallel()
	l, err := boundary.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.SetPatience(time.Hour)
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually.True(t, "the stranger is accepted", func() bool { return l.Seen() == 1 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if hits, _ := l.Evidence(); hits != 1 {
		t.Errorf("hits %d", hits)
	}
}

// The bundle says the nonce, so that its dial is not taken for a guest's.
func TestNonceFromElsewhere(t *testing.T) {
	t.Parallel()
	l := listen(t, "tcp")
	nonce, err := hex.DecodeString(l.Nonce())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(nonce)
	_, _ = io.ReadAll(conn)
	if hits, proved := l.Evidence(); hits != 0 || !proved {
		t.Errorf("hits %d, proved %v", hits, proved)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	rung := listen(t, "tcp")
	conn, err := net.Dial("tcp", rung.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	eventually.True(t, "it counts", func() bool { hits, _ := rung.Evidence(); return hits > 0 })
	proved := boundary.Control{Proof: "reached"}
	for _, test := range []struct {
		name    string
		answers bool
		control boundary.Control
		said    []probe.Observation
		want    string
	}{
		{"blocked", false, proved, []probe.Observation{{Name: "p"}}, "passed: blocked, reached, 0"},
		{"blocked, and nobody knows", false, boundary.Control{Missing: "no route"}, []probe.Observation{{Name: "p"}}, "uncontrolled: blocked, none: no route, 0"},
		{"reached", false, proved, []probe.Observation{{Name: "p", Reached: true}}, "FAILED: blocked, reached, 0"},
		{"reached, without a control", false, boundary.Control{Missing: "no route"}, []probe.Observation{{Name: "p", Reached: true}}, "FAILED: blocked, , 0"},
		{"a lie", false, boundary.Control{Proof: "reached", Listener: rung}, []probe.Observation{{Name: "p"}}, "FAILED: blocked, reached, 1"},
		{"silent", false, proved, nil, "FAILED: blocked, reached, 0"},
		{"about something else", false, proved, []probe.Observation{{Name: "q"}}, "FAILED: blocked, reached, 0"},
		{"twice", false, proved, []probe.Observation{{Name: "p"}, {Name: "p"}}, "FAILED: blocked, reached, 0"},
		{"answers", true, proved, []probe.Observation{{Name: "p", Reached: true}}, "passed: answers, reached, 0"},
		{"answers not", true, proved, []probe.Observation{{Name: "p"}}, "FAILED: answers, reached, 0"},
	} {
		check := boundary.Check{Probe: probe.Probe{Name: "p"}, Answers: test.answers, Control: test.control}
		r := boundary.Judge([]boundary.Check{check}, test.said)[0]
		if got := fmt.Sprintf("%s: %s, %s, %d", r.Verdict, r.Expected, r.Control, r.Hits); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if surprise := boundary.Surprise([]boundary.Result{r}); (surprise != nil) != (r.Verdict == boundary.Failed) {
			t.Errorf("%s: Surprise = %v", test.name, surprise)
		}
	}
}

// Every target has a control that was tried, or a reason why there is none.
func TestChecks(t *testing.T) {
	t.Parallel()
	targets, err := boundary.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer targets.Close()
	gate := listen(t, "tcp")
	var reached []string
	checks := targets.Checks(t.Context(), boundary.Bottle{
		Firewall: "127.0.0.1:8888", Sockets: []string{"8888.sock"}, Gate: gate.Addr(),
		Inside: []string{"127.0.0.2:443"}, Unlisted: []string{"unlisted.test:443"},
		Reach: func(_ context.Context, list ...string) []error {
			reached = list
			problems := make([]error, len(list))
			problems[len(list)-1] = errors.New("refused")
			return problems
		},
	})
	text := ""
	for _, check := range checks {
		if (check.Control.Proof == "") == (check.Control.Missing == "") {
			t.Errorf("%s: %+v", check.Name, check.Control)
		}
		if result := (boundary.Result{Probe: check.Name}); result.Proxied() != (check.Via != "") {
			t.Errorf("%s: is the firewall asked? %t, %q", check.Name, result.Proxied(), check.Via)
		}
		text += fmt.Sprintf("%s %s\n", check.Kind, check.Target)
	}
	for _, want := range []string{
		"health 127.0.0.1:8888", "tcp " + targets.Loopback().Addr(), "udp 127.0.0.1:", "tcp " + gate.Addr(), "tcp 100.96.0.1:53",
		"connect 127.0.0.2:443", "connect unlisted.test:443", "sockets 8888.sock", "vsock 2:1024", "interfaces ", "packet ", "dns ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no probe of %s in\n%s", want, text)
		}
	}
	if last := checks[len(checks)-2]; last.Target != "unlisted.test:443" || last.Control.Missing != "refused" {
		t.Errorf("%+v", last)
	}
	if len(reached) == 0 || !strings.HasSuffix(strings.Join(reached, " "), "127.0.0.2:443 unlisted.test:443") {
		t.Errorf("the bundle was asked for %q", reached)
	}
	if text := targets.String(); !strings.HasSuffix(text, "; 0 connections from elsewhere") {
		t.Error(text)
	}
}
