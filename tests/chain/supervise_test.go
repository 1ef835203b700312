//go:build integration

package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
	"bottle.internal/tests/eventually"
)

const later = "https://later.bottle.test"

// agent is the SDK's own client, on the agent's way.
func (b *bottle) agent(t *testing.T) *mcp.ClientSession {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return b.dial(ctx, portSupervise) }}
	t.Cleanup(transport.CloseIdleConnections)
	session, err := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: "http://127.0.0.1:9100/mcp", HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// call uses a tool and returns the text of its answer.
func call(ctx context.Context, session *mcp.ClientSession, tool string, arguments any) (string, error) {
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("%s: %+v", tool, result)
	}
	return text.Text, nil
}

// must is call, which has to be answered.
func must(t *testing.T, session *mcp.ClientSession, tool string, arguments any) string {
	t.Helper()
	text, err := call(t.Context(), session, tool, arguments)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// statusOf is the decision in an answer.
func statusOf(text string) string {
	var a struct{ Status string }
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err.Error() + ": " + text
	}
	return a.Status
}

// approve does what `bottle supervise approve` does, once there is something to approve.
func (b *bottle) approve(t *testing.T) {
	t.Helper()
	desk, err := proposal.OpenDesk(b.instance, b.plan.Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	var id string
	eventually.Fine(t, eventually.Patience, func() string {
		views, problems := desk.List()
		for _, view := range views {
			if view.Status == ask.Pending {
				id = view.Proposal.ID
				return ""
			}
		}
		return fmt.Sprintf("nothing is pending: %v", problems)
	})
	shown, err := desk.Show(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Decide(id, proposal.Answer{Verdict: proposal.Approve, By: "the test", Seen: shown.Seen()}); err != nil {
		t.Fatal(err)
	}
}

// The agent asks over MCP, a person approves, and the route is there. The control of "live"
// is that it was refused before, with an upstream that answers.
func TestApproval(t *testing.T) {
	b := start(t)
	if got := b.beside(t, nil, nil, "ask", later+"/docs/x", "").String(); !strings.HasPrefix(got, "200 ") {
		t.Fatalf("the upstream, asked directly: %s", got)
	}
	agent := b.agent(t)
	routes := must(t, agent, "list-egress-routes", nil)
	if !strings.Contains(routes, "api.bottle.test") || strings.Contains(routes, `"host":"later.bottle.test"`) || strings.Contains(routes, "CHAIN_TOKEN") {
		t.Errorf("the routes: %s", routes)
	}
	if got := b.once(t, later+"/docs/x"); got.status != 0 || got.text != `Get "https://later.bottle.test/docs/x": Forbidden` {
		t.Errorf("before: %s", got)
	}
	wanted := map[string]any{"host": "later.bottle.test", "paths": []string{"/docs/"}, "justification": "to read"}
	asked := make(chan string, 1)
	go func() {
		text, err := call(t.Context(), agent, "egress-allow", wanted)
		if err != nil {
			text = err.Error()
		}
		asked <- statusOf(text)
	}()

	desk := time.Now()
	b.approve(t)
	approved := time.Now()
	eventually.Fine(t, eventually.Patience, func() string {
		if got := b.once(t, later+"/docs/x"); got.status != http.StatusOK {
			return got.String()
		}
		return ""
	})
	live := time.Since(approved)
	t.Logf("asked until approved %v, approved until the first 200 %v", approved.Sub(desk).Round(time.Millisecond), live.Round(time.Millisecond))
	if live > 10*time.Second { // 0.1 s when nothing else runs: docs/performance.md
		t.Errorf("live after %v", live)
	}
	if got := <-asked; got != "approved" {
		t.Errorf("the call that waited: %s", got)
	}
	if got := statusOf(must(t, agent, "egress-allow", wanted)); got != "approved" {
		t.Errorf("the same again: %s", got)
	}
	if got := b.once(t, later+"/other"); got.status != http.StatusForbidden {
		t.Errorf("another path: %s", got)
	}
	if routes := must(t, agent, "list-egress-routes", nil); !strings.Contains(routes, `"host":"later.bottle.test"`) {
		t.Errorf("the routes: %s", routes)
	}
}
