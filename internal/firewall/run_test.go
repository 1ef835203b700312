package firewall_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/logtest"
)

// channel is an init that has said everything already.
type channel struct {
	first control.Inputs
	later chan control.Inputs
}

func (c channel) FirstInputs(context.Context) (control.Inputs, error) { return c.first, nil }
func (c channel) Inputs() <-chan control.Inputs                       { return c.later }

func inputsOf(t *testing.T, p firewall.Policy) channel {
	t.Helper()
	return channel{first: render(t, p), later: make(chan control.Inputs)}
}

// The channel of the bundle is one.
var _ firewall.Channel = (*control.Daemon)(nil)

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	good, bad, empty := inputsOf(t, https("a.test")), inputsOf(t, https("a.test")), channel{}
	bad.first[firewall.PipelockFile] = secret.New("mode: audit\n")
	busy := fakenet.Listen(t).Addr().String()
	const only = ": only a loopback address and port are allowed, such as 127.0.0.1:8888"
	for _, test := range []struct {
		channel channel
		listen  string
		want    string
	}{
		{bad, "127.0.0.1:0", `reading pipelock.yaml: mode is "audit", only strict is understood`},
		{empty, "127.0.0.1:0", "reading pipelock.yaml: there is no such input"},
		{good, busy, "listening on " + busy + ": listen tcp " + busy + ": bind: address already in use"},
		{good, "0.0.0.0:8888", `listening on "0.0.0.0:8888"` + only},
		{good, "[::]:8888", `listening on "[::]:8888"` + only},
		{good, "8888", `listening on "8888"` + only},
	} {
		log := &logtest.Buffer{}
		err := firewall.Daemon{Listen: test.listen}.Run(t.Context(), test.channel, log)
		if err == nil || err.Error() != test.want || log.String() != "" {
			t.Errorf("%s: %v, %q; want %s", test.listen, err, log.String(), test.want)
		}
	}
}

// The program as init runs it: ready, a reload that works, one that does not, the end.
func TestRunServesAndReloads(t *testing.T) {
	t.Parallel()
	w := &world{t: t, addr: fakenet.FreeAddr(t)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, ended := inputsOf(t, https("a.test")), make(chan error)
	go func() { ended <- firewall.Daemon{Listen: w.addr}.Run(ctx, c, &w.log) }()
	w.await("ready", nil)
	const health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	if status, _, body := w.ask(health); status != http.StatusOK || !strings.Contains(body, `"routes":1`) {
		t.Errorf("%d %s", status, body)
	}
	c.later <- render(t, https("a.test", "b.test"))
	w.await("reload", func(e entry) bool { return e.Problem == "" })
	if _, _, body := w.ask(health); !strings.Contains(body, `"routes":2`) {
		t.Error(body)
	}
	broken := render(t, https("a.test"))
	broken[firewall.RoutesFile] = secret.New("{}")
	c.later <- broken
	e := w.await("reload", func(e entry) bool { return e.Problem != "" })
	if e.Problem != "reading routes.json: version 0, only 2 is understood" {
		t.Errorf("problem %q", e.Problem)
	}
	if _, _, body := w.ask(health); !strings.Contains(body, `"routes":2`) {
		t.Errorf("the old policy is gone: %s", body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Without init nobody could take a route away: the firewall ends.
func TestRunEndsWithItsChannel(t *testing.T) {
	t.Parallel()
	c := inputsOf(t, https("a.test"))
	close(c.later)
	log := &logtest.Buffer{}
	err := firewall.Daemon{Listen: "127.0.0.1:0"}.Run(t.Context(), c, log)
	if err == nil || err.Error() != "the channel to init ended" {
		t.Error(err)
	}
}
