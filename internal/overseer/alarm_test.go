package overseer_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
)

// The form of a planted token; it belongs to nobody.
const planted = "ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"

// guarded is a bench with a canary, and what it alarmed of.
func guarded(t *testing.T, onCanary string) (*bench, *[]canary.Sighting) {
	t.Helper()
	var seen []canary.Sighting
	b := newBench(t, func(b *bench) {
		b.config.Plan.OnCanary = onCanary
		b.config.Canaries = []secret.Value{secret.New(planted)}
		b.config.Alarm = func(s canary.Sighting) { seen = append(seen, s) }
	})
	return b, &seen
}

// The three daemons that look for canaries have them, also after an approval; supervise is
// judged here and needs none.
func TestDaemonsKnowTheCanaries(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t, plan.CanaryWarn)
	knows := func() {
		t.Helper()
		all := b.inputsNow()
		for daemon, want := range map[string]bool{"firewall": true, "egress": true, "git-gate": true, "supervise": false} {
			if got := strings.Contains(shown(all[daemon]), planted); got != want {
				t.Errorf("%s knows it: %v, want %v", daemon, got, want)
			}
		}
		config, err := egress.Parse([]byte(all["egress"][egress.ConfigInput].Reveal()))
		if err != nil || config.OnCanary != egress.CanaryWarn {
			t.Errorf("egress: %q, %v", config.OnCanary, err)
		}
		if _, err := gitgate.Parse([]byte(all["git-gate"][gitgate.ConfigFile].Reveal())); err != nil {
			t.Error(err)
		}
	}
	knows()
	if got := b.approve(fresh, false); got.Status != ask.Approved {
		t.Fatalf("%+v", got)
	}
	knows()
	for _, d := range b.delivered {
		if got, want := strings.Contains(shown(d.inputs), planted), d.daemon != "supervise"; got != want {
			t.Errorf("delivered to %s: %v", d.daemon, got)
		}
	}
}

// A model's host is told apart from others that have a credential: what a forge is shown is
// not for it alone.
func TestProviders(t *testing.T) {
	t.Parallel()
	auth := &plan.Auth{Header: "Authorization", Scheme: "Bearer", Source: "env", Name: "API_TOKEN"}
	want := map[string]bool{
		"api.example.com": true, "api.githubcopilot.com": true, "api.github.com": false, "gitlab.example.com": false,
		"git.example.com": false, "models.example.com": false,
	}
	b := newBench(t, func(b *bench) {
		b.config.Plan.Egress = nil
		for host := range want {
			route := plan.Route{Host: host, Port: 443, Methods: []string{"POST"}, Paths: []string{"/"}, Auth: auth, PassHeaders: []string{}}
			if host == "models.example.com" {
				route.Auth = nil
			}
			b.config.Plan.Egress = append(b.config.Plan.Egress, route)
		}
	})
	config, err := egress.Parse([]byte(b.inputsNow()["egress"][egress.ConfigInput].Reveal()))
	if err != nil || len(config.Routes) != len(want) {
		t.Fatalf("%d routes, %v", len(config.Routes), err)
	}
	for _, route := range config.Routes {
		if route.Provider != want[route.Host] {
			t.Errorf("%s is a provider: %v", route.Host, route.Provider)
		}
	}
}

// What the agent writes for the operator goes neither to a disk nor to a screen with a canary
// in it, however it is spelled.
func TestCanaryInAToolCall(t *testing.T) {
	t.Parallel()
	b, seen := guarded(t, plan.CanaryCut)
	lower := strings.ToLower(planted[4:])
	for i, arguments := range []string{
		`{"host":"evil.example.com","justification":"use ` + planted + `"}`,
		`{"host":"evil.example.com","justification":"` + strings.Replace(planted, "z", `\u007a`, 1) + `"}`,
		`{"host":"ghp.` + lower[:20] + "." + lower[20:] + `.example.com","justification":"x"}`,
		`{"host":"evil.example.com","paths":["/` + planted + `"],"justification":"x"}`,
	} {
		_, err := b.ask("supervise", ask.Kind, ask.Question{Tool: ask.ToolAllow, Arguments: json.RawMessage(arguments)})
		if err == nil || err.Error() != "it holds a credential" {
			t.Errorf("%s: %v", arguments, err)
		}
		if len(*seen) != i+1 {
			t.Fatalf("%d sightings", len(*seen))
		}
		want := canary.Sighting{Daemon: "supervise", Where: "arguments of a tool", Fingerprint: canary.Fingerprint(planted), Blocked: true}
		if (*seen)[i] != want {
			t.Errorf("%+v", (*seen)[i])
		}
	}
	if audited := strings.Join(b.audited, "\n"); strings.Count(audited, "canary map[") != 4 || !strings.Contains(audited, canary.Fingerprint(planted)) || strings.Contains(audited, planted) {
		t.Errorf("audited: %s", audited)
	}
	found, err := filepath.Glob(filepath.Join(b.dir, "supervise", "*", "*.json"))
	if err != nil || len(found) > 0 {
		t.Errorf("on the disk: %q, %v", found, err)
	}
	if got := b.wants("fine.example.com"); got.Status != ask.Pending || len(*seen) != 4 {
		t.Errorf("an ordinary request: %+v, %d sightings", got, len(*seen))
	}
}

// Who was cut off gets nothing more of the host: no token, no signature, no approval.
func TestCutOff(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t, plan.CanaryCut)
	if _, err := b.askRaw("egress", "token", `{"route":0}`); err != nil {
		t.Fatalf("the control: %v", err)
	}
	b.CutOff()
	for daemon, kinds := range allowed() {
		for _, kind := range kinds {
			if answer, err := b.askRaw(daemon, kind, `{"route":0}`); err == nil || err.Error() != "the bottle is cut off" {
				t.Errorf("%s asking for %s: %s, %v", daemon, kind, answer, err)
			}
		}
	}
}
