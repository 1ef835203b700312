package firewall

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bottle.internal/internal/firewall/clienthello"
	"bottle.internal/internal/journal"
)

// inBubble splices two pipes in a bubble of its own time, so that a day of silence takes no
// time. Client and upstream are the far ends.
func inBubble(t *testing.T, idle time.Duration, use func(e *exchange, client, upstream net.Conn)) (why string, e *exchange) {
	t.Helper()
	limits := Limits{Idle: idle}.withDefaults()
	s := &Server{limits: limits}
	client, near := net.Pipe()
	upstream, far := net.Pipe()
	e = &exchange{account: newMeter(limits, time.Now).open(Host{})}
	e.ctx, e.cancel = context.WithCancelCause(t.Context())
	defer e.cancel(nil)
	done := make(chan string)
	go func() { done <- s.splice(e, &spliced{client: near, upstream: far, hello: []byte("hello")}) }()
	if _, err := io.ReadFull(upstream, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	answer := slices.Concat([]byte{22, 3, 3, 0, 38, 2, 0, 0, 34, 3, 3}, make([]byte, 32))
	go func() { _, _ = upstream.Write(answer) }()
	if _, err := io.ReadFull(client, make([]byte, len(answer))); err != nil {
		t.Fatal(err)
	}
	use(e, client, upstream)
	why = <-done
	_ = client.Close()
	_ = upstream.Close()
	return why, e
}

// One side speaks every second and the other never does: for an hour, with an idle limit
// of three seconds.
func TestSilentSideIsNotIdle(t *testing.T) {
	t.Parallel()
	for _, speaker := range []string{"client", "upstream"} {
		synctest.Test(t, func(t *testing.T) {
			why, e := inBubble(t, 3*time.Second, func(_ *exchange, client, upstream net.Conn) {
				from, to := client, upstream
				if speaker == "upstream" {
					from, to = upstream, client
				}
				for i := range 3600 {
					time.Sleep(time.Second)
					if _, err := from.Write([]byte("x")); err != nil {
						t.Fatalf("%s was cut after %d seconds", speaker, i)
					}
					if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
			})
			if why != "it was idle for too long" || e.up.Load()+e.down.Load() != 3605+43 {
				t.Errorf("%s, %d up, %d down", why, e.up.Load(), e.down.Load())
			}
		})
	}
}

func TestIdleTunnelIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		why, _ := inBubble(t, time.Minute, func(_ *exchange, client, upstream net.Conn) {
			time.Sleep(59 * time.Second)
			_, _ = client.Write([]byte("x"))
			_, _ = io.ReadFull(upstream, make([]byte, 1))
		})
		if took := time.Since(start); why != "it was idle for too long" || took != 119*time.Second {
			t.Errorf("%s after %v", why, took)
		}
	})
}

// A side that does not read is as idle as one that does not write.
func TestStuckTunnelIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why, _ := inBubble(t, time.Minute, func(_ *exchange, client, _ net.Conn) {
			_, _ = client.Write([]byte("nobody reads this"))
		})
		if why != "it was idle for too long" {
			t.Error(why)
		}
	})
}

func TestBrokenSideEndsTheTunnel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why, e := inBubble(t, time.Minute, func(e *exchange, _, _ net.Conn) { e.cancel(errRevoked) })
		if why != "its route was taken away" || e.up.Load() != 5 {
			t.Errorf("%s, %d up", why, e.up.Load())
		}
	})
}

func TestDefaultIdleIsPipelocks(t *testing.T) {
	t.Parallel()
	if got := (Limits{}).withDefaults().Idle; got != 24*time.Hour {
		t.Errorf("default idle limit %v", got)
	}
}

func TestEncryptedHelloIsRefused(t *testing.T) {
	t.Parallel()
	allowed := Decision{Allow: true, Route: Host{Host: "a.test", Port: 443, Scheme: HTTPS}}
	d, ok := checkHello(allowed, clienthello.Hello{ServerName: "a.test", Encrypted: true})
	if ok || d.Allow || d.Rule != RuleTLS || d.Reason != "a.test:443: the client hello is encrypted (ECH), so its host cannot be checked" {
		t.Errorf("%+v", d)
	}
	for _, name := range []string{"A.TEST", "a.test"} {
		if _, ok := checkHello(allowed, clienthello.Hello{ServerName: name}); !ok {
			t.Errorf("%s was refused", name)
		}
	}
	for _, name := range []string{"a.test.", "a.test\x00", "a.test:443", "b.test", "a.test.b.test"} {
		if d, ok := checkHello(allowed, clienthello.Hello{ServerName: name}); ok || d.Rule != RuleSNI {
			t.Errorf("%q: %+v", name, d)
		}
	}
}

// Denials come in a flood: a burst is written, the rest is counted, allows always pass.
func TestJournalSuppressesFloods(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := time.Unix(1000, 0)
	j := journal.New[line](&out, func() time.Time { return now })
	for range 60 {
		j.Write(line{Event: eventDeny})
	}
	j.Write(line{Event: eventAllow})
	j.Write(line{Event: eventDeny, Rule: RuleSecret}) // a flood of others cannot hide it
	for range 5 {
		j.Write(line{Event: eventDeny})
	}
	now = now.Add(time.Second)
	for range 12 {
		j.Write(line{Event: eventDeny})
	}
	j.Close()
	text := out.String()
	if denies := strings.Count(text, `"deny"`); denies != 50+1+10 {
		t.Errorf("%d denials were written", denies)
	}
	if !strings.Contains(text, `{"time":"1970-01-01T00:16:40Z","event":"suppressed","reason":"denials came too fast to write each","count":10}`+"\n"+
		`{"time":"1970-01-01T00:16:40Z","event":"allow"}`) ||
		!strings.Contains(text, `"count":5}`) || !strings.HasSuffix(text, `"count":2}`+"\n") {
		t.Error(text)
	}
}
