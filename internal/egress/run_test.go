package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/secret"
)

// pipe is a channel to init with a real daemon's end.
func pipe(t *testing.T) (*control.Daemon, *control.DaemonPeer) {
	t.Helper()
	ours, theirs := net.Pipe()
	daemon, peer := control.NewDaemon(ours), control.NewDaemonPeer(theirs)
	t.Cleanup(func() {
		_ = peer.Close()
		_ = daemon.Close()
	})
	return daemon, peer
}

func settings() egress.Settings {
	return egress.Settings{Listen: func(ctx context.Context, _ uint16) (net.Listener, error) {
		var config net.ListenConfig
		return config.Listen(ctx, "tcp", "127.0.0.1:0")
	}}
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	daemon, peer := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- egress.RunWith(ctx, daemon, &w.log, "127.0.0.1:0", settings()) }()
	inputs := maps.Clone(w.inputs)
	delete(inputs, egress.TokenInput(0))
	if err := peer.Inputs(inputs); err != nil {
		t.Fatal(err)
	}
	ready := w.await("ready", nil)
	addrs, _ := ready.Listen.([]any)
	if len(addrs) != 2 || *ready.Routes != 1 || len(ready.Missing) != 1 || ready.Missing[0] != 0 {
		t.Errorf("%+v", ready)
	}
	healthy := ""
	for _, addr := range addrs {
		for path, want := range map[string]int{"/health": 200, "/other": 404, "/health?x": 404} {
			response, err := http.Get(fmt.Sprint("http://", addr, path))
			if err != nil {
				continue // the TLS port
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode == 400 { // so is this
				continue
			}
			if response.StatusCode != want {
				t.Errorf("%s: %d", path, response.StatusCode)
			}
			if want == 200 {
				healthy = string(body)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if healthy != `{"status":"ok","routes":1,"missing_tokens":1}`+"\n" {
		t.Errorf("health: %q", healthy)
	}
	// What is not understood is told and changes nothing; what is, is followed.
	if err := peer.Inputs(control.Inputs{egress.ConfigInput: secret.New("{}")}); err != nil {
		t.Fatal(err)
	}
	w.await("reload", func(e entry) bool { return e.Problem == "reading egress.json: version 0, only 1 is understood" })
	if err := peer.Inputs(w.inputs); err != nil {
		t.Fatal(err)
	}
	w.await("reload", func(e entry) bool { return e.Problem == "" && *e.Routes == 1 && len(e.Missing) == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunFailsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{})
	for name, test := range map[string]struct {
		inputs control.Inputs
		listen func(context.Context, uint16) (net.Listener, error)
		want   string
	}{
		"no config":   {control.Inputs{}, nil, "reading egress.json: it ends too early"},
		"no CA":       {control.Inputs{egress.ConfigInput: w.inputs[egress.ConfigInput]}, nil, "loading a CA: certificate: it is no PEM"},
		"a busy port": {nil, func(context.Context, uint16) (net.Listener, error) { return nil, errors.New("address already in use") }, "listening on port 443: address already in use"},
	} {
		daemon, peer := pipe(t)
		if test.inputs == nil {
			if err := w.apply(open("a.test")); err != nil {
				t.Fatal(err)
			}
			test.inputs = w.inputs
		}
		go func() { _ = peer.Inputs(test.inputs) }()
		err := egress.RunWith(t.Context(), daemon, io.Discard, "127.0.0.1:0", egress.Settings{Listen: test.listen})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without init there is nobody to follow: the daemon ends, and init's successor starts it anew.
func TestRunEndsWithItsChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	daemon, peer := pipe(t)
	done := make(chan error, 1)
	go func() { done <- egress.RunWith(t.Context(), daemon, &w.log, "127.0.0.1:0", settings()) }()
	if err := peer.Inputs(w.inputs); err != nil {
		t.Fatal(err)
	}
	w.await("ready", nil)
	_ = peer.Close()
	if err := <-done; err == nil || err.Error() != "the channel to init ended" {
		t.Error(err)
	}
}

// Denials are counted beyond a rate; sightings never are.
func TestDenialsAreCounted(t *testing.T) {
	t.Parallel()
	r := bearer("api.test")
	r.Methods = []string{"GET"}
	w := newWorld(t, egress.Limits{}, r, open("open.test"))
	w.upstream("open.test", func(http.ResponseWriter, *http.Request) {})
	client := w.client(true)
	for range 90 {
		if got := w.do(client, request(t, "PUT", "https://api.test/", "")); got.status != 403 {
			t.Fatalf("%+v", got)
		}
		r := request(t, "GET", "https://open.test/", "")
		r.Header.Set("User-Agent", canary)
		w.do(client, r)
	}
	w.server.Close()
	denied, seen, suppressed := 0, 0, 0
	for _, e := range w.log.Entries(t) {
		switch e.Event {
		case "deny":
			denied++
		case "canary":
			seen++
		case "suppressed":
			suppressed += e.Count
		}
	}
	if denied+suppressed != 90 || suppressed == 0 || seen != 90 {
		t.Errorf("%d denials, %d suppressed, %d canaries", denied, suppressed, seen)
	}
}
