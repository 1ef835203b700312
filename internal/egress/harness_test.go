package egress_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	placeholder = "bottle-placeholder"
	canary      = "canary-7f3a9c51e2"
	token       = "real-token-0123456789/+abcdef"
)

// world is egress between an agent and an internet of loopback listeners.
type world struct {
	t         testing.TB
	bottle    *ca.Authority // what the agent trusts
	internet  *ca.Authority // what the routes trust
	server    *egress.Server
	log       logtest.Buffer
	net       *fakenet.Internet
	inputs    control.Inputs
	config    egress.Config
	questions chan json.RawMessage
	answer    func(route int) (string, error)
}

type entry = logtest.Entry

func (w *world) await(event string, want func(entry) bool) entry {
	w.t.Helper()
	return w.log.Await(w.t, event, want)
}

// FirstInputs, Inputs and Ask are the channel to the host.
func (w *world) FirstInputs(context.Context) (control.Inputs, error) { return w.inputs, nil }

func (w *world) Inputs() <-chan control.Inputs { return nil }

func (w *world) Ask(_ context.Context, kind string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil || kind != "token" {
		return fmt.Errorf("asked for %s: %w", kind, err)
	}
	var question struct{ Route int }
	if err := json.Unmarshal(raw, &question); err != nil {
		return err
	}
	w.questions <- raw
	text, err := w.answer(question.Route)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(fmt.Sprintf(`{"token":%q}`, text)), answer)
}

func newWorld(t testing.TB, limits egress.Limits, routes ...egress.Route) *world {
	t.Helper()
	w := &world{
		t: t, bottle: fakenet.Authority(t), internet: fakenet.Authority(t), net: fakenet.New(), questions: make(chan json.RawMessage, 16),
		answer: func(int) (string, error) { return "", errors.New("no answer") },
	}
	w.config = egress.Config{Placeholder: placeholder, Canaries: []string{canary}}
	w.server = egress.NewServer(w, &w.log, egress.Settings{
		Dialer: w.net.Dialer(), Limits: limits,
		Listen: func(ctx context.Context, _ uint16) (net.Listener, error) {
			var config net.ListenConfig
			return config.Listen(ctx, "tcp", "127.0.0.1:0")
		},
	})
	t.Cleanup(w.server.Close)
	if err := w.apply(routes...); err != nil {
		t.Fatal(err)
	}
	return w
}

// apply makes routes the configuration; each with auth gets the token, and all trust the
// world's internet.
func (w *world) apply(routes ...egress.Route) error {
	w.t.Helper()
	w.config.Routes = nil
	inputs := control.Inputs{egress.CertInput: secret.New(string(w.bottle.CertPEM())), egress.KeyInput: w.bottle.KeyPEM()}
	for i, r := range routes {
		if r.UpstreamCA == "" {
			r.UpstreamCA = string(w.internet.CertPEM())
		}
		w.config.Routes = append(w.config.Routes, r)
		if r.Auth != nil {
			inputs[egress.TokenInput(i)] = secret.New(token)
		}
	}
	data, err := egress.Render(w.config)
	if err != nil {
		return err
	}
	inputs[egress.ConfigInput] = secret.New(string(data))
	w.inputs = inputs
	return w.server.Apply(inputs)
}

func open(host string) egress.Route {
	return egress.Route{Host: host, Port: 443, Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, Paths: []string{"/"}}
}

func bearer(host string) egress.Route {
	r := open(host)
	r.Auth, r.Provider = &egress.Auth{Header: "Authorization", Scheme: "Bearer"}, true
	return r
}

// place puts name on the internet.
func (w *world) place(name, to string, answers ...string) { w.net.Place(name, 443, to, answers...) }

// upstream serves handler over HTTP/1.1 and HTTP/2 as the host.
func (w *world) upstream(host string, handler http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	leaf, err := w.internet.Leaf(host)
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	server.Config.DisableGeneralOptionsHandler = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.place(host, server.Listener.Addr().String())
	return server
}
