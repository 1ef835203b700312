package overseer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
)

// egress first, so that the firewall never leads to one that does not know the route; the
// agent is told last. The git gate has nothing to do with routes.
func TestApprovalIsDeliveredInItsOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if outcome := b.approve(fresh, false); outcome.Status != ask.Approved || outcome.Problem != "" {
		t.Fatalf("outcome %+v", outcome)
	}
	if b.order() != "egress firewall supervise" {
		t.Errorf("delivered to %q", b.order())
	}
	for _, d := range b.delivered {
		if !strings.Contains(shown(d.inputs), fresh) {
			t.Errorf("%s does not learn of the new host", d.daemon)
		}
		if d.daemon != "egress" && strings.Contains(shown(d.inputs), "-token-") {
			t.Errorf("%s gets a token", d.daemon)
		}
	}
	if status := b.wants(fresh).Status; status != ask.Approved {
		t.Errorf("afterwards it is %s", status)
	}
}

// An approval that comes before the other routes in the plan moves no credential: egress may
// ask by the numbers of the configuration before or after it, also when the host put only one
// of the two into force, and gets the token of the host that it means.
func TestApprovalMovesNoCredential(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]bool{"in force": false, "egress took it and the firewall did not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			if refuse {
				b.Follow(func(ctx context.Context, daemon string, inputs control.Inputs) error {
					_ = b.deliver(ctx, daemon, inputs)
					if daemon == daemons.Firewall {
						return errBroken
					}
					return nil
				})
			}
			if outcome := b.approve(fresh, false); (outcome.Status == ask.Failed) != refuse {
				t.Fatalf("outcome %+v", outcome)
			}
			for what, inputs := range map[string]control.Inputs{"delivered": b.delivered[0].inputs, "at the next start": b.inputsNow()["egress"]} {
				config, err := egress.Parse([]byte(inputs[egress.ConfigInput].Reveal()))
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range []struct{ host, token string }{{"api.example.com", apiToken}, {"models.example.com", modelToken}} {
					if route := config.Routes[i]; route.Host != want.host || inputs[egress.TokenInput(i)].Reveal() != want.token {
						t.Errorf("%s: route %d is %s, with another token than %s", what, i, route.Host, want.token)
					}
				}
				if !inputs[egress.TokenInput(2)].IsEmpty() || !inputs[egress.TokenInput(3)].IsEmpty() {
					t.Errorf("%s: a route without a credential got one", what)
				}
			}
			for route, want := range []string{apiToken, modelToken, "", ""} {
				answer, err := b.ask("egress", "token", map[string]int{"route": route})
				if (err == nil) != (want != "") || want != "" && !strings.HasPrefix(answer, `{"token":"`+want) {
					t.Errorf("route %d: %s, %v; want %q", route, answer, err, want)
				}
			}
			if !slices.Equal(b.tokens.refreshed, []int{0, 1}) {
				t.Errorf("the sources %v were asked", b.tokens.refreshed)
			}
		})
	}
}

func TestApprovalThatCannotBePutIntoForce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change    func(*bench)
		after     func(*bench)
		want      string
		delivered string
	}{
		"the bundle is not up": {
			after: func(b *bench) { b.Follow(nil) }, want: "the bundle is not up",
		},
		"pipelock reads its hosts at its start": {
			change: func(b *bench) { b.config.Plan.Firewall.Engine = "pipelock" }, want: "pipelock takes up new hosts at the next start only",
		},
		"egress does not take it: the firewall is not told": {
			after: func(b *bench) { b.refuse = errBroken }, want: "the bundle is broken", delivered: "egress",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.change)
			if test.after != nil {
				test.after(b)
			}
			id := b.wants(fresh).ID
			outcome := b.decide(id, proposal.Answer{Verdict: proposal.Approve, Keep: true})
			if outcome.Status != ask.Failed || outcome.Problem != test.want || b.order() != test.delivered {
				t.Errorf("outcome %+v, delivered to %q; want %q", outcome, b.order(), test.want)
			}
			if kept, err := proposal.ReadKept(b.dir); len(kept) > 0 || err != nil {
				t.Errorf("kept %v, %v", kept, err)
			}
			if strings.Contains(shown(b.inputsNow()["egress"]), fresh) {
				t.Error("the plan in force has the route")
			}
		})
	}
}

// Widening a route of the plan needs no new host, so pipelock can do it.
func TestPipelockTakesAWiderRoute(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) { b.config.Plan.Firewall.Engine = "pipelock" })
	id := b.wants("public.example.com").ID // all paths instead of /v1
	if outcome := b.decide(id, proposal.Answer{Verdict: proposal.Approve}); outcome.Status != ask.Approved {
		t.Errorf("outcome %+v", outcome)
	}
}

// An approval that was kept is in the very first inputs of the next run, hosts file included.
func TestKeptApprovalSurvivesResume(t *testing.T) {
	t.Parallel()
	b := prepare(t, t.TempDir(), nil)
	again := func(engine string) {
		t.Helper()
		b.config.Plan = basePlan()
		b.config.Plan.Firewall.Engine = engine
		var err error
		if b.Overseer, err = overseer.New(t.Context(), b.config); err != nil {
			t.Fatal(err)
		}
		b.Follow(b.deliver)
	}
	again("builtin")
	for host, keep := range map[string]bool{fresh: true, "bbb.example.com": false} {
		if outcome := b.approve(host, keep); outcome.Status != ask.Approved {
			t.Fatalf("outcome %+v", outcome)
		}
	}
	b.stop()

	again("pipelock")
	defer b.stop()
	all := b.inputsNow()
	for _, daemon := range []string{"egress", "firewall", "supervise"} {
		if text := shown(all[daemon]); !strings.Contains(text, fresh) || strings.Contains(text, "bbb.example.com") {
			t.Errorf("%s is told\n%s", daemon, text)
		}
	}
	if inputs := all["egress"]; inputs["token.0"].Reveal() != apiToken || inputs["token.1"].Reveal() != modelToken {
		t.Error("the tokens did not follow their routes")
	}
	// Without its line in the hosts file pipelock would dial the host past egress.
	if hosts := b.Hosts(); !slices.Contains(hosts, fresh+":127.0.0.2") {
		t.Errorf("the hosts file has %q", hosts)
	}
	if b.told() != "" {
		t.Errorf("told %q", b.told())
	}
}

// A kept approval of a route that got a credential since does not widen it.
func TestKeptApprovalThatDoesNotFit(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) {
		kept := `{"approved":[{"id":"` + strings.Repeat("ab", 32) + `","egress_allow":{"host":"api.example.com","port":443,"methods":["DELETE"],"paths":["/"],"justification":"x"},` +
			`"with_credential":false,"approved_at":"2026-11-01T10:00:00Z","by":"me"}]}`
		if err := os.WriteFile(filepath.Join(b.dir, "approved.json"), []byte(kept), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	want := "an earlier approval is left out: approval abababababab is left out: api.example.com USES env:API_TOKEN: the approval must name the host once more"
	if b.told() != want {
		t.Errorf("told %q, want %q", b.told(), want)
	}
	if strings.Contains(shown(b.inputsNow()["egress"]), "DELETE") {
		t.Error("it is in force")
	}
}

// demo is a plan whose two echo names can be asked for; one of them the demo approves itself.
func demo(b *bench) {
	b.config.Plan.Echo = []string{"new.bottle.test", "unlisted.bottle.test"}
	b.config.Plan.DemoApproves = []string{"new.bottle.test"}
}

// The demo approves the names that the plan lists and leaves all others to the human.
func TestDemoApprovesItsOwnHostsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, demo)
	var others []string
	for _, host := range []string{"unlisted.bottle.test", fresh} {
		others = append(others, b.wants(host).ID)
	}
	wanted := b.wants("new.bottle.test")
	desk, err := proposal.OpenDesk(b.dir, b.config.Plan.Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	outcome, err := desk.Await(t.Context(), wanted.ID)
	if err != nil || outcome.Status != ask.Approved {
		t.Fatalf("outcome %+v, %v", outcome, err)
	}
	view, err := desk.View(wanted.ID)
	if err != nil || view.Decision.By != "the demo" || view.Decision.Keep {
		t.Errorf("decision %+v, %v", view.Decision, err)
	}
	want := "the agent asks for new.bottle.test, and the demo says yes, as you would with: bottle supervise approve " + wanted.ID[:12]
	if b.told() != want {
		t.Errorf("told %q, want it once: %q", b.told(), want)
	}
	for _, id := range others {
		if view, err := desk.View(id); err != nil || view.Status != ask.Pending || view.Decision != nil {
			t.Errorf("%s: %+v, %v", view.Proposal.Allow.Host, view.Decision, err)
		}
	}
	if b.order() != "egress firewall supervise" {
		t.Errorf("delivered to %q", b.order())
	}
}

// Without such hosts in the plan nobody approves anything, in the demo neither.
func TestNobodyApprovesWithoutDemoHosts(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) {
		demo(b)
		b.config.Plan.DemoApproves = nil
	})
	id := b.wants("new.bottle.test").ID
	b.decide(b.wants(fresh).ID, proposal.Answer{Verdict: proposal.Reject}) // the queue has looked by now
	desk, err := proposal.OpenDesk(b.dir, b.config.Plan.Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if view, err := desk.View(id); err != nil || view.Decision != nil || b.order() != "" {
		t.Errorf("decision %+v, %v", view.Decision, err)
	}
}

// An approved route of an echo name is verified against the echo's own authority.
func TestApprovedEchoNameHasTheEchosAuthority(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) {
		b.config.Plan.Echo = []string{"new.bottle.test"}
		b.config.EchoCA = b.config.Authority.CertPEM()
	})
	if outcome := b.approve("new.bottle.test", false); outcome.Status != ask.Approved {
		t.Fatalf("outcome %+v", outcome)
	}
	config := b.inputsNow()["egress"]["egress.json"].Reveal()
	if strings.Count(config, "BEGIN CERTIFICATE") != 1 || strings.Count(config, `"private": true`) != 1 {
		t.Errorf("egress.json is\n%s", config)
	}
	if routes := b.inputsNow()["firewall"][firewall.RoutesFile].Reveal(); !strings.Contains(routes, "new.bottle.test") {
		t.Errorf("routes.json is\n%s", routes)
	}
}

// Close ends what runs; goleak looks at the end of all tests. A decision afterwards waits for
// the next run.
func TestCloseEndsTheWork(t *testing.T) {
	t.Parallel()
	b := prepare(t, t.TempDir(), demo)
	var err error
	if b.Overseer, err = overseer.New(t.Context(), b.config); err != nil {
		t.Fatal(err)
	}
	b.Follow(b.deliver)
	id := b.wants(fresh).ID
	b.stop()
	desk, err := proposal.OpenDesk(b.dir, b.config.Plan.Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if _, err := desk.Decide(id, proposal.Answer{Verdict: proposal.Approve, By: "me"}); err != nil {
		t.Fatal(err)
	}
	if b.order() != "" {
		t.Errorf("delivered to %q after Close", b.order())
	}
	if b.Overseer, err = overseer.New(t.Context(), b.config); err != nil {
		t.Fatal(err)
	}
	defer b.stop()
	outcome, err := desk.Await(t.Context(), id)
	// The bundle of the next run is not up so early.
	if err != nil || outcome.Status != ask.Failed || outcome.Problem != "the bundle is not up" {
		t.Errorf("outcome %+v, %v", outcome, err)
	}
}

// What was asked and decided is audited by the host, and no token is among it.
func TestDecisionsAreAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.approve(fresh, false)
	_ = b.Hosts() // waits until the queue has settled it: the outcome is on disk a moment before
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.Join(b.audited, "\n")
	if len(b.audited) != 2 || !strings.HasPrefix(b.audited[0], "proposal ") || !strings.HasPrefix(b.audited[1], "decision ") || strings.Contains(text, "-token-") {
		t.Fatalf("audited\n%s", text)
	}
	for _, want := range []string{"host:" + fresh, "status:approved", "by:me", fmt.Sprint("methods:", []string{"GET", "HEAD"})} {
		if !strings.Contains(b.audited[1], want) {
			t.Errorf("%q lacks %q", b.audited[1], want)
		}
	}
}

// Approvals leave the plan of the launch as it was: its indices name the credentials.
func TestTheLaunchsPlanStays(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.approve(fresh, false)
	same := func(x, y plan.Route) bool { return x.Host == y.Host && x.Port == y.Port }
	if !slices.EqualFunc(b.config.Plan.Egress, basePlan().Egress, same) {
		t.Errorf("routes %+v", b.config.Plan.Egress)
	}
}
