package overseer_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/sshd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	apiToken   = "api-token-5d1f0c"
	modelToken = "model-token-77a9be"
	fresh      = "aaa.example.com" // sorts before every route: an approval of it moves their indices
	zeros      = "0000000000000000000000000000000000000000"
	commit     = "1111111111111111111111111111111111111111"
)

// bench is an overseer with everything around it played by the test.
type bench struct {
	t      testing.TB
	dir    string
	tokens *fakeTokens
	config overseer.Config
	*overseer.Overseer

	mu        sync.Mutex
	said      []string
	hidden    []string
	audited   []string
	delivered []delivery
	refuse    error // of every delivery
}

type delivery struct {
	daemon string
	inputs control.Inputs
}

// fakeTokens has one credential for each index of the plan that was launched.
type fakeTokens struct {
	mu        sync.Mutex
	values    map[int]string
	missing   map[int]error
	problem   error // of a refresh
	same      bool  // a refresh finds nothing new
	refreshed []int
}

func (f *fakeTokens) First(context.Context) (map[int]secret.Value, map[int]error) {
	found := map[int]secret.Value{}
	for i, value := range f.values {
		found[i] = secret.New(value)
	}
	return found, f.missing
}

// Refresh gives a value that tells which one it is.
func (f *fakeTokens) Refresh(_ context.Context, route int) (secret.Value, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshed = append(f.refreshed, route)
	if f.problem != nil {
		return secret.Value{}, f.problem
	}
	if f.same {
		return secret.New(f.values[route]), nil
	}
	return secret.New(fmt.Sprintf("%s-again-%d", f.values[route], len(f.refreshed))), nil
}

// basePlan has two routes with a credential, one without, a plain host and a remote.
func basePlan() plan.Plan {
	route := func(host string, auth *plan.Auth) plan.Route {
		return plan.Route{Host: host, Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1"}, Auth: auth, PassHeaders: []string{}}
	}
	host := func(name, mode string) plan.Host {
		return plan.Host{Host: name, Port: 443, Scheme: "https", Mode: mode}
	}
	return plan.Plan{
		Identity: "demo-aaaaa", Bottle: "dev", Template: "demo", Daemons: []string{"firewall", "egress", "git-gate", "supervise"},
		Firewall: plan.Firewall{Engine: "builtin", Hosts: []plan.Host{
			host("api.example.com", "routed"), host("models.example.com", "routed"), host("plain.example.com", "plain"), host("public.example.com", "routed"),
		}},
		Egress: []plan.Route{
			route("api.example.com", &plan.Auth{Header: "Authorization", Scheme: "Bearer", Source: "env", Name: "API_TOKEN"}),
			route("models.example.com", &plan.Auth{Header: "X-Api-Key", Source: "file", Name: "/home/me/model.key"}),
			route("public.example.com", nil),
		},
		Git: plan.Git{Remotes: []plan.Remote{{
			Name: "app", Host: "git.example.com", Port: 22, User: "git", Path: "/team/app.git",
			Branches: []string{"bottle/*"}, Approve: true, Protect: []string{},
		}}},
		Supervise: true, Echo: []string{},
	}
}

// newBench prepares an overseer; change may alter its configuration. It is closed at the end.
func newBench(t testing.TB, change func(*bench)) *bench {
	t.Helper()
	b := prepare(t, t.TempDir(), change)
	var err error
	if b.Overseer, err = overseer.New(t.Context(), b.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	b.Follow(b.deliver)
	return b
}

func (b *bench) stop() {
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
}

func prepare(t testing.TB, dir string, change func(*bench)) *bench {
	t.Helper()
	authority, err := ca.New("bottle demo-aaaaa", time.Hour, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := sshd.NewKey(t)
	_, host := sshd.NewKey(t)
	b := &bench{t: t, dir: dir, tokens: &fakeTokens{values: map[int]string{0: apiToken, 1: modelToken}}}
	b.config = overseer.Config{
		Plan: basePlan(), Instance: dir, Authority: authority, Tokens: b.tokens,
		Remotes: map[string]overseer.Identity{"app": {Key: key, KnownHostKey: "git.example.com " + host}},
		Say:     func(text string) { b.note(&b.said, text) },
		Hide: func(values ...secret.Value) {
			for _, value := range values {
				b.note(&b.hidden, value.Reveal())
			}
		},
		Audit: func(event string, fields map[string]any) { b.note(&b.audited, fmt.Sprint(event, " ", fields)) },
		Now:   time.Now,
	}
	if change != nil {
		change(b)
	}
	return b
}

func (b *bench) note(list *[]string, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, text)
}

func (b *bench) deliver(_ context.Context, daemon string, inputs control.Inputs) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delivered = append(b.delivered, delivery{daemon, inputs})
	return b.refuse
}

func (b *bench) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.said, "\n")
}

func (b *bench) order() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	for _, d := range b.delivered {
		names = append(names, d.daemon)
	}
	return strings.Join(names, " ")
}

// inputsNow are what every daemon would be told at a start.
func (b *bench) inputsNow() map[string]control.Inputs {
	b.t.Helper()
	inputs, err := b.Inputs()
	if err != nil {
		b.t.Fatal(err)
	}
	return inputs
}

// ask asks as a daemon does, and returns the answer as it goes over the wire.
func (b *bench) ask(daemon, kind string, body any) (string, error) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.askRaw(daemon, kind, string(raw))
}

func (b *bench) askRaw(daemon, kind, body string) (string, error) {
	b.t.Helper()
	answer, err := b.Answer(b.t.Context(), control.Question{Daemon: daemon, Kind: kind, Body: json.RawMessage(body)})
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw), nil
}

// wants asks for a host as the agent would, and returns how that stands.
func (b *bench) wants(host string) ask.Answer {
	b.t.Helper()
	text, err := b.ask("supervise", ask.Kind, ask.Question{
		Tool: ask.ToolAllow, Arguments: json.RawMessage(`{"host":"` + host + `","justification":"x"}`),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var answer ask.Answer
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// decide is the operator in another process; it waits until the decision is carried out.
func (b *bench) decide(id string, answer proposal.Answer) proposal.Outcome {
	b.t.Helper()
	desk, err := proposal.OpenDesk(b.dir, b.config.Plan.Identity)
	if err != nil {
		b.t.Fatal(err)
	}
	defer desk.Close()
	view, err := desk.Show(id)
	if err != nil {
		b.t.Fatal(err)
	}
	answer.By, answer.Seen = "me", view.Seen()
	if _, err := desk.Decide(id, answer); err != nil {
		b.t.Fatal(err)
	}
	outcome, err := desk.Await(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return outcome
}

// approve is asking for a host and the operator's yes.
func (b *bench) approve(host string, keep bool) proposal.Outcome {
	b.t.Helper()
	return b.decide(b.wants(host).ID, proposal.Answer{Verdict: proposal.Approve, Keep: keep})
}

// shown is all of the inputs of one daemon, names and values.
func shown(inputs control.Inputs) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		fmt.Fprintf(&text, "%s: %s\n", name, inputs[name].Reveal())
	}
	return text.String()
}

func names(inputs control.Inputs) string {
	return strings.Join(slices.Sorted(maps.Keys(inputs)), " ")
}

var errBroken = errors.New("the bundle is broken")
