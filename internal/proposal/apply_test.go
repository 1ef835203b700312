package proposal_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
)

func basePlan() plan.Plan {
	return plan.Plan{
		Identity: "demo-x7k2p", Daemons: []string{"firewall", "supervise"}, Echo: []string{"echo.test"},
		Firewall: plan.Firewall{Hosts: []plan.Host{
			{Host: "api.example.com", Port: 443, Scheme: "https", Mode: "routed"},
			{Host: "auth.example.com", Port: 443, Scheme: "https", Mode: "routed"},
			{Host: "clear.example.com", Port: 8080, Scheme: "http", Mode: "plain"},
			{Host: "lan.example.com", Port: 443, Scheme: "https", Mode: "plain", Private: true},
			{Host: "plain.example.com", Port: 443, Scheme: "https", Mode: "plain"},
		}},
		Egress: []plan.Route{
			{Host: "api.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1/"}, PassHeaders: []string{"X-Id"}},
			{Host: "auth.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1/"}, Auth: &plan.Auth{Source: "env", Name: "TOKEN"}, PassHeaders: []string{}},
		},
		Git: plan.Git{Remotes: []plan.Remote{{Name: "app", Host: "git.example.com"}}},
	}
}

func allow(t testing.TB, arguments string) ask.Allow {
	t.Helper()
	a, err := ask.ParseAllow([]byte(arguments), []string{"echo.test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func text(value any) string {
	raw, _ := json.Marshal(value)
	return string(raw)
}

// An approval adds or widens one route; everything else stays byte for byte.
func TestApplyChangesOneRoute(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, arguments, credential string
		want                        plan.Route
		isNew                       bool
	}{
		{
			"a new host", `{"host":"new.example.com","justification":"x"}`, "",
			plan.Route{Host: "new.example.com", Port: 443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/"}, PassHeaders: []string{}},
			true,
		},
		{
			"another port", `{"host":"api.example.com","port":8443,"paths":["/a"],"justification":"x"}`, "",
			plan.Route{Host: "api.example.com", Port: 8443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/a"}, PassHeaders: []string{}},
			true,
		},
		{
			"wider", `{"host":"api.example.com","methods":["POST"],"paths":["/v2/","/v1/x"],"justification":"x"}`, "",
			plan.Route{Host: "api.example.com", Port: 443, Methods: []string{"GET", "POST"}, Paths: []string{"/v1/", "/v2/"}, PassHeaders: []string{"X-Id"}},
			false,
		},
		{
			"wider, with its credential", `{"host":"auth.example.com","methods":["POST"],"paths":["/v1/"],"justification":"x"}`, "auth.example.com",
			plan.Route{
				Host: "auth.example.com", Port: 443, Methods: []string{"GET", "POST"}, Paths: []string{"/v1/"}, PassHeaders: []string{},
				Auth: &plan.Auth{Source: "env", Name: "TOKEN"},
			},
			false,
		},
		{
			"an echo name", `{"host":"echo.test","justification":"x"}`, "",
			plan.Route{Host: "echo.test", Port: 443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/"}, PassHeaders: []string{}, Private: true, EchoCA: true},
			true,
		},
	} {
		p := basePlan()
		next, effect, err := proposal.Apply(p, allow(t, test.arguments), test.credential)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(basePlan(), p); diff != "" {
			t.Errorf("%s: the plan itself changed: %s", test.name, diff)
		}
		if diff := cmp.Diff(test.want, effect.After); diff != "" || (effect.Before == nil) != test.isNew {
			t.Errorf("%s: after (-want +got):\n%s", test.name, diff)
		}
		changed := slices.DeleteFunc(slices.Clone(next.Egress), func(r plan.Route) bool {
			return slices.ContainsFunc(p.Egress, func(o plan.Route) bool { return text(o) == text(r) })
		})
		if len(changed) != 1 || len(next.Firewall.Hosts)-len(p.Firewall.Hosts) != map[bool]int{true: 1}[test.isNew] {
			t.Errorf("%s: more than one route changed: %s", test.name, text(changed))
		}
		if !proposal.Covers(next, allow(t, test.arguments)) {
			t.Errorf("%s: the result does not cover what was asked for", test.name)
		}
		if test.isNew && !slices.Contains(next.Daemons, "egress") {
			t.Errorf("%s: nobody serves the route: %v", test.name, next.Daemons)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ arguments, credential, want string }{
		{`{"host":"auth.example.com","methods":["POST"],"justification":"x"}`, "", "auth.example.com USES env:TOKEN: the approval must name the host once more"},
		{`{"host":"auth.example.com","methods":["POST"],"justification":"x"}`, "api.example.com", "auth.example.com USES env:TOKEN: the approval must name the host once more"},
		{`{"host":"clear.example.com","port":8080,"justification":"x"}`, "", "clear.example.com:8080 is a plain http route already: it has no methods and paths to widen"},
		{`{"host":"lan.example.com","port":8443,"justification":"x"}`, "", "lan.example.com:443 may have private addresses: a second port of it belongs in the manifest"},
		{`{"host":"api.github.com","methods":["POST"],"justification":"x"}`, "", "api.github.com can change repositories past the git gate: only the manifest can allow to write there (bypasses_git_gate)"},
		{`{"host":"git.example.com","methods":["PUT"],"justification":"x"}`, "", "git.example.com can change repositories past the git gate: only the manifest can allow to write there (bypasses_git_gate)"},
	} {
		if _, _, err := proposal.Apply(basePlan(), allow(t, test.arguments), test.credential); fmt.Sprint(err) != test.want {
			t.Errorf("%s: %v, want %s", test.arguments, err, test.want)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for arguments, want := range map[string]bool{
		`{"host":"api.example.com","methods":["GET"],"paths":["/v1/x"],"justification":"x"}`:           true,
		`{"host":"api.example.com","methods":["GET"],"paths":["/v1/"],"justification":"x"}`:            true,
		`{"host":"api.example.com","methods":["GET"],"paths":["/v10"],"justification":"x"}`:            false,
		`{"host":"api.example.com","methods":["GET"],"paths":["/v1/","/v2/"],"justification":"x"}`:     false,
		`{"host":"api.example.com","methods":["GET","HEAD"],"paths":["/v1/"],"justification":"x"}`:     false,
		`{"host":"api.example.com","port":444,"methods":["GET"],"paths":["/v1/"],"justification":"x"}`: false,
		`{"host":"plain.example.com","methods":["DELETE"],"justification":"x"}`:                        true,
		`{"host":"clear.example.com","port":8080,"justification":"x"}`:                                 false,
		`{"host":"other.example.com","justification":"x"}`:                                             false,
	} {
		if got := proposal.Covers(basePlan(), allow(t, arguments)); got != want {
			t.Errorf("Covers(%s) = %v", arguments, got)
		}
	}
}
