package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/outfit"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/render/kubernetes"
	"bottle.internal/pkg/provision"
)

// renderedPlan is the plan of a bottle as the manifests hand it to the overseer.
func renderedPlan(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../plan/testdata/claude.plan.json")
	if err != nil {
		t.Fatal(err)
	}
	var p plan.Plan
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	files, err := provision.Render(outfit.Of(p, nil))
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := kubernetes.Render(p, files, kubernetes.Options{RuntimeClass: "kata", Images: kubernetes.Images{Agent: "a", Bundle: "b", Overseer: "o"}})
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ Data map[string]string }
	if err := yaml.Unmarshal(manifests[1].Data, &config); err != nil {
		t.Fatal(err)
	}
	return config.Data["plan.json"]
}

// pod is what a Pod mounts for an overseer.
func pod(t *testing.T, a *App, planText string) Places {
	t.Helper()
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("secrets/bottle-token-claude-code-oauth-token/token", "s3cret-of-claude\n")
	keys := filepath.Join(dir, "keys")
	if err := a.RenderKeys("claude-x7k2p", keys); err != nil {
		t.Fatal(err)
	}
	places := Places{
		Plan: write("plan.json", strings.ReplaceAll(planText, cluster.SecretsDir, secrets)), Control: filepath.Join(dir, "c"),
		LinkKey: filepath.Join(keys, "key"), CACert: filepath.Join(keys, "tls.crt"), CAKey: filepath.Join(keys, "tls.key"),
		user: func(int) int { return os.Getuid() },
	}
	for _, d := range daemons.All() {
		if err := os.MkdirAll(filepath.Join(places.Control, d.Name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return places
}

func connect(t *testing.T, places Places, daemon string) (*control.Daemon, control.Inputs) {
	t.Helper()
	channel, err := cluster.Open(t.Context(), places.Control, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = channel.Close() })
	inputs, err := channel.FirstInputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return channel, inputs
}

// What the manifests mount is all that an overseer needs: every daemon gets its part of the
// plan, egress the credential, and nobody else.
func TestOversee(t *testing.T) {
	a := newApp(t)
	places := pod(t, a, renderedPlan(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Oversee(ctx, places) }()

	_, gateInputs := connect(t, places, daemons.Gate)
	key, ports, err := gate.Parse(gateInputs)
	if want, _ := os.ReadFile(places.LinkKey); err != nil || string(key.Reveal()) != string(want) || len(ports) != 1 || ports[0] != 8888 {
		t.Errorf("the gate got another key, or ports %v, %v", ports, err)
	}
	_, firewall := connect(t, places, daemons.Firewall)
	if text := firewall["routes.json"].Reveal(); !strings.Contains(text, "api.anthropic.com") {
		t.Errorf("the firewall got %s", text)
	}
	egress, inputs := connect(t, places, daemons.Egress)
	holders := 0
	for _, value := range inputs {
		if value.Reveal() == "s3cret-of-claude" {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("egress got the credential %d times", holders)
	}
	for name, value := range firewall {
		if strings.Contains(value.Reveal(), "s3cret") {
			t.Errorf("the firewall got the credential in %s", name)
		}
	}
	if err := egress.Ask(t.Context(), "ssh-agent", struct{}{}, nil); err == nil || !strings.Contains(err.Error(), "may not ask for") {
		t.Errorf("egress asked for a signature: %v", err)
	}
	if proposals, problems := a.Proposals(t.Context(), "claude-x7k2p"); len(problems) > 0 || len(proposals) > 0 {
		t.Errorf("bottle supervise in the Pod: %v, %v", proposals, problems)
	}
	cancel(errors.New("a signal"))
	if err := <-ended; err != nil {
		t.Error(err)
	}
	report, err := a.VerifyAudit("claude-x7k2p", "")
	if err != nil || report.Problem != "" {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
}

// An overseer whose container is started again goes on; one without its keys does not begin.
func TestOverseeAgain(t *testing.T) {
	a := newApp(t)
	places := pod(t, a, renderedPlan(t))
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Oversee(ctx, places) }()
		connect(t, places, daemons.Firewall)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(places.CAKey); err != nil {
		t.Fatal(err)
	}
	err := a.Oversee(t.Context(), places)
	if want := "reading the authority: open " + places.CAKey + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("Oversee = %v, want %s", err, want)
	}
}

func TestOverseeWantsAPlanOfItsFormat(t *testing.T) {
	a := newApp(t)
	places := pod(t, a, `{"format": 99}`)
	err := a.Oversee(t.Context(), places)
	if want := "reading the plan: it has format 99, this bottle reads 1"; err == nil || err.Error() != want {
		t.Errorf("Oversee = %v, want %s", err, want)
	}
}

// Keys are never written over, and only their owner can read them.
func TestRenderKeys(t *testing.T) {
	a := newApp(t)
	dir := filepath.Join(t.TempDir(), "keys")
	if err := a.RenderKeys("claude-x7k2p", dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key", "tls.crt", "tls.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if err := a.RenderKeys("claude-x7k2p", dir); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("a second time: %v", err)
	}
	if err := a.RenderKeys("../x", dir); err == nil {
		t.Error("that is no identity")
	}
}
