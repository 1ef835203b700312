package supervise_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/supervise"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/logtest"
)

func TestMain(m *testing.M) {
	// After a head that is too long net/http lingers for half a second by itself.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// channel is the way to a host that is a function.
type channel struct {
	inputs chan control.Inputs
	ask    func(ctx context.Context, kind string, body json.RawMessage) (any, error)
}

func (c *channel) FirstInputs(ctx context.Context) (control.Inputs, error) {
	select {
	case inputs := <-c.inputs:
		return inputs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *channel) Inputs() <-chan control.Inputs { return c.inputs }

func (c *channel) Ask(ctx context.Context, kind string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	got, err := c.ask(ctx, kind, raw)
	if err != nil {
		return err
	}
	back, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return json.Unmarshal(back, answer)
}

// daemon is a running daemon.
type daemon struct {
	t      *testing.T
	addr   string
	config supervise.Config
	log    *logtest.Buffer
	stop   func()
}

func start(t *testing.T, config supervise.Config) *daemon {
	t.Helper()
	return startAt(t, "127.0.0.1:0", config)
}

func startAt(t *testing.T, addr string, config supervise.Config) *daemon {
	t.Helper()
	d := &daemon{t: t, config: config, log: &logtest.Buffer{}}
	config.Log = d.log
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := supervise.NewServer(config)
	go func() { done <- server.Follow(ctx, listener) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Follow: %v", err)
		}
	})
	t.Cleanup(d.stop)
	return d
}

// restart is the daemon dead and started again at the same address.
func (d *daemon) restart() *daemon {
	d.stop()
	return startAt(d.t, d.addr, d.config)
}

// client is the SDK's own, as an agent uses it.
func (d *daemon) client() *mcp.ClientSession {
	d.t.Helper()
	session, err := d.connect()
	if err != nil {
		d.t.Fatal(err)
	}
	return session
}

func (d *daemon) connect() (*mcp.ClientSession, error) {
	transport := &http.Transport{}
	d.t.Cleanup(transport.CloseIdleConnections)
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	session, err := client.Connect(d.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: "http://" + d.addr + "/mcp", HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1,
	}, nil)
	if err == nil {
		d.t.Cleanup(func() { _ = session.Close() })
	}
	return session, err
}

// answer is what a tool said: its JSON, or its error.
type answer struct {
	ask.Answer
	text   string
	failed bool
}

func call(ctx context.Context, session *mcp.ClientSession, tool string, arguments any) (answer, error) {
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return answer{}, err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || len(result.Content) != 1 {
		return answer{}, errors.New("not one text")
	}
	a := answer{text: text.Text, failed: result.IsError}
	_ = json.Unmarshal([]byte(text.Text), &a.Answer)
	return a, nil
}

func (d *daemon) must(session *mcp.ClientSession, tool string, arguments any) answer {
	d.t.Helper()
	a, err := call(d.t.Context(), session, tool, arguments)
	if err != nil {
		d.t.Fatalf("%s: %v\nlog: %s", tool, err, d.log)
	}
	return a
}

type object = map[string]any

// host is the bottle's process: a queue, its directory and what it did.
type host struct {
	t     *testing.T
	dir   string
	queue *proposal.Queue
	desk  *proposal.Desk
	stop  func()

	mu     sync.Mutex
	live   plan.Plan
	audits []string
}

func testPlan() plan.Plan {
	return plan.Plan{
		Identity: "demo-x7k2p", Echo: []string{"echo.test"}, Daemons: []string{"firewall", "egress", "supervise"},
		Firewall: plan.Firewall{Hosts: []plan.Host{
			{Host: "api.example.com", Port: 443, Scheme: "https", Mode: "routed"},
			{Host: "plain.example.com", Port: 443, Scheme: "https", Mode: "plain"},
		}},
		Egress: []plan.Route{{
			Host: "api.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1/"},
			Auth: &plan.Auth{Header: "Authorization", Scheme: "Bearer", Source: "env", Name: "SECRET_TOKEN"}, PassHeaders: []string{},
		}},
		Git: plan.Git{Remotes: []plan.Remote{{Name: "app", Host: "git.example.com", Branches: []string{"bottle/*"}, Approve: true, Protect: []string{}}}},
	}
}

func newHost(t *testing.T, dir string, limits proposal.Limits) *host {
	t.Helper()
	h := &host{t: t, dir: dir, live: testPlan()}
	kept, err := proposal.ReadKept(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, problems := proposal.ApplyKept(testPlan(), kept)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	h.live = p
	h.queue, err = proposal.Open(proposal.Config{
		Instance: dir, Plan: p, Limits: limits,
		OnChange: func(_ context.Context, change proposal.Change) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.live = change.Plan
			return nil
		},
		Audit: func(event string, fields map[string]any) {
			raw, err := json.Marshal(fields)
			if err != nil {
				t.Error(err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.audits = append(h.audits, event+" "+string(raw))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.queue.Run(ctx) })
	h.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		h.queue.Close()
	})
	t.Cleanup(h.stop)
	if h.desk, err = proposal.OpenDesk(dir, testPlan().Identity); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.desk.Close)
	return h
}

func (h *host) channel() *channel {
	return &channel{inputs: make(chan control.Inputs, 1), ask: func(ctx context.Context, kind string, raw json.RawMessage) (any, error) {
		if kind != ask.Kind {
			return nil, &control.AnswerError{Text: "no such kind"}
		}
		a, err := h.queue.Handle(ctx, raw)
		if err != nil {
			return nil, &control.AnswerError{Text: err.Error()}
		}
		return a, nil
	}}
}

func (h *host) plan() plan.Plan {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.live
}

// audited waits for a line of the audit log.
func (h *host) audited(parts ...string) string {
	h.t.Helper()
	var found string
	eventually.True(h.t, fmt.Sprintf("an audit line with %q", parts), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, found = range h.audits {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(found, part) }) {
				return true
			}
		}
		return false
	})
	return found
}

// decide is the operator in another process.
func (h *host) decide(id string, a proposal.Answer) {
	h.t.Helper()
	a.By = "operator"
	if _, err := h.desk.Decide(id, a); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.desk.Await(h.t.Context(), id); err != nil {
		h.t.Fatal(err)
	}
}

// proposed waits for a proposal that is undecided.
func (h *host) proposed() proposal.View {
	h.t.Helper()
	var found proposal.View
	eventually.True(h.t, "a proposal", func() bool {
		views, problems := h.desk.List()
		if len(problems) > 0 {
			h.t.Fatal(problems)
		}
		for _, found = range views {
			if found.Status == ask.Pending {
				return true
			}
		}
		return false
	})
	return found
}

func inputsOf(t *testing.T, p plan.Plan) control.Inputs {
	t.Helper()
	raw, err := proposal.Public(p).Render()
	if err != nil {
		t.Fatal(err)
	}
	return control.Inputs{ask.InputName: secret.New(string(raw))}
}
