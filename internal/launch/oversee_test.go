package launch_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/audit"
	"bottle.internal/internal/control"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
	"bottle.internal/pkg/smolvm"
	"bottle.internal/tests/sshd"
)

const apiToken = "api-token-9c0d1e"

// fixedTokens has one credential for each index of the plan.
type fixedTokens map[int]string

func (f fixedTokens) First(context.Context) (map[int]secret.Value, map[int]error) {
	found := map[int]secret.Value{}
	for i, value := range f {
		found[i] = secret.New(value)
	}
	return found, nil
}

func (f fixedTokens) Refresh(_ context.Context, route int) (secret.Value, error) {
	return secret.New(f[route] + "-again"), nil
}

// full gives the world's plan every daemon, a credential and two remotes, one of them the echo's.
func (w *world) full() {
	w.t.Helper()
	w.plan = demoPlan()
	w.plan.Template = "demo"
	w.plan.Daemons = []string{"firewall", "egress", "git-gate", "supervise"}
	w.plan.Ports = append(w.plan.Ports, plan.Port{Daemon: "supervise", Guest: plan.PortSupervise})
	w.plan.Supervise = true
	w.plan.Echo = append(w.plan.Echo, "api.bottle.test", "git.bottle.test")
	w.plan.Firewall.Hosts = append([]plan.Host{{Host: "api.bottle.test", Port: 443, Scheme: "https", Private: true, Mode: "routed"}}, w.plan.Firewall.Hosts...)
	w.plan.Egress = []plan.Route{{
		Host: "api.bottle.test", Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1"}, Private: true, EchoCA: true, PassHeaders: []string{},
		Auth: &plan.Auth{Header: "Authorization", Scheme: "Bearer", Source: "env", Name: "API_TOKEN"},
	}}
	remote := plan.Remote{Name: "app", Host: "git.bottle.test", Port: 22, User: "git", Path: "/app.git", Private: true, Echo: true, Branches: []string{"bottle/*"}, Protect: []string{}}
	other := remote
	other.Name, other.Host, other.Port, other.Path, other.Private, other.Echo = "lib", "git.example.com", 2222, "/team/lib.git", false, false
	w.plan.Git = plan.Git{Remotes: []plan.Remote{remote, other}, User: &plan.User{Name: "A Person", Email: "a@example.com"}}
	key, host := sshd.NewKey(w.t)
	w.secrets = launch.Secrets{
		Tokens:  fixedTokens{0: apiToken},
		Remotes: map[string]overseer.Identity{"lib": {Key: key, KnownHostKey: "[git.example.com]:2222 " + host}},
	}
}

// running starts the world's bottle; it is closed at the end of the test.
func (w *world) running() *launch.Bottle {
	w.t.Helper()
	bottle, err := w.start(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := bottle.Close(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
		w.nothingLeft()
	})
	return bottle
}

// The bundle is handed what the overseer made, daemon by daemon, and asks the overseer.
func TestBundleGetsTheOverseersInputs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	w.running()
	for daemon, want := range map[string]string{
		"firewall": "pipelock.yaml routes.json", "egress": "ca-key.pem ca.pem egress.json token.0", "git-gate": "gitgate.json", "supervise": "supervise.json",
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(w.spec.Inputs[daemon])), " "); got != want {
			t.Errorf("%s gets %q, want %q", daemon, got, want)
		}
	}
	if len(w.spec.Inputs) != 4 || !slices.Equal(w.spec.Daemons, w.plan.Daemons) || !slices.Equal(w.spec.Ports, []uint16{8888, 9420, 9100}) {
		t.Errorf("%d inputs for %v, ports %v", len(w.spec.Inputs), w.spec.Daemons, w.spec.Ports)
	}
	if w.spec.Inputs["egress"]["token.0"].Reveal() != apiToken {
		t.Error("the token is another one")
	}
	answer, err := w.spec.Answer(t.Context(), control.Question{Daemon: "egress", Kind: "token", Body: json.RawMessage(`{"route":0}`)})
	if text, _ := json.Marshal(answer); err != nil || string(text) != `{"token":"`+apiToken+`-again"}` {
		t.Errorf("answer %s, %v", text, err)
	}
	given := func(r audit.Record) bool { return r.Event == overseer.EventToken && r.Source == audit.Host }
	if !slices.ContainsFunc(w.records, given) {
		t.Error("the host does not say that it gave a token")
	}
	if !slices.Contains(w.hidden, apiToken) || !slices.Contains(w.hidden, apiToken+"-again") {
		t.Errorf("the audit log hides %q", w.hidden)
	}
	if len(w.delivered) > 0 {
		t.Errorf("delivered to %v without an approval", w.delivered)
	}
}

// What is approved reaches the bundle that is up, and the receipt says so.
func TestApprovalReachesTheBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	bottle := w.running()
	id := w.asks("new.example.com")
	outcome := w.approves(id)
	if outcome.Status != ask.Approved || strings.Join(w.deliveries(), " ") != "egress firewall supervise" {
		t.Fatalf("outcome %+v, delivered to %v", outcome, w.deliveries())
	}
	if !strings.Contains(w.inputs["egress"]["egress.json"].Reveal(), "new.example.com") {
		t.Error("egress does not learn of the host")
	}
	for _, name := range []string{proposal.EventProposal, proposal.EventDecision} { // on supervise's pipe anybody in there could say so
		if i := slices.IndexFunc(w.records, func(r audit.Record) bool { return r.Event == name }); i < 0 || w.records[i].Source != audit.Host {
			t.Errorf("%s is not what the host says", name)
		}
	}
	if !strings.Contains(bottle.Receipt(), "  decided  egress-allow new.example.com  once: approved\n") {
		t.Errorf("receipt\n%s", bottle.Receipt())
	}
}

func (w *world) asks(host string) string {
	w.t.Helper()
	body := `{"tool":"egress-allow","arguments":{"host":"` + host + `","justification":"x"},"wait_ms":0}`
	answer, err := w.spec.Answer(w.t.Context(), control.Question{Daemon: "supervise", Kind: ask.Kind, Body: json.RawMessage(body)})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.(ask.Answer).ID
}

func (w *world) approves(id string) proposal.Outcome {
	w.t.Helper()
	desk, err := proposal.OpenDesk(w.state.Dir()+"/"+w.plan.Identity, w.plan.Identity)
	if err != nil {
		w.t.Fatal(err)
	}
	defer desk.Close()
	if _, err := desk.Decide(id, proposal.Answer{Verdict: proposal.Approve, By: "me"}); err != nil {
		w.t.Fatal(err)
	}
	outcome, err := desk.Await(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = w.spec.Answer(w.t.Context(), control.Question{Daemon: "egress", Kind: "token", Body: json.RawMessage(`{"route":0}`)}) // the queue has settled it then
	return outcome
}

func (w *world) deliveries() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.delivered)
}

// What cannot be written down must not happen: the bottle stops with the log's reason.
func TestFullAuditLogStopsTheBottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle := w.running()
	w.block = "agent"
	go func() {
		<-w.stuck
		close(w.auditFails)
	}()
	var out output
	_, err := bottle.Run(t.Context(), out.stdio())
	if !errors.Is(err, audit.ErrFull) || err.Error() != "stopping the bottle: audit full" {
		t.Errorf("Run() = %v", err)
	}
}

// The first line binds the log to its bottle, whatever the launch does after.
func TestAuditLogBeginsWithTheLaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	w.fail = "artifact"
	if _, err := w.start(t.Context()); err == nil {
		t.Fatal("the launch did not fail")
	}
	if len(w.audited) == 0 || w.audited[0] != "launch launch" {
		t.Fatalf("audited %q", w.audited)
	}
	first, ok := w.records[0].Fields.(map[string]any)
	if !ok || first["identity"] != "demo-aaaaa" || first["agent"] != "demo" || first["vm_tool"] != "smolvm 1.9.3" || first["firewall"] != "builtin" {
		t.Errorf("fields %v", w.records[0].Fields)
	}
}

// The receipt tells what the search of the guest found, and nothing where it could not have
// found anything.
func TestReceiptOfTheSearch(t *testing.T) {
	t.Parallel()
	const tail = " MB of the guest's files, environments and process lists"
	for name, test := range map[string]struct {
		pieces []string
		fail   error
		want   string
	}{
		"clean":              {[]string{"HOME=/root\x00X=" + literal + "\x00"}, nil, "0.0" + tail + ": its settings are there, the credential is not"},
		"in pieces":          {strings.Split(strings.Repeat(" ", 100)+literal, ""), nil, "0.0" + tail + ": its settings are there, the credential is not"},
		"a credential":       {[]string{plan.Placeholder, "X=" + apiToken}, nil, "0.0" + tail + ": A CREDENTIAL IS THERE"},
		"one in pieces":      {[]string{plan.Placeholder, "X=" + apiToken[:7], apiToken[7:]}, nil, "0.0" + tail + ": A CREDENTIAL IS THERE"},
		"one in base64":      {[]string{plan.Placeholder, base64.StdEncoding.EncodeToString([]byte("Bearer " + apiToken))}, nil, "0.0" + tail + ": A CREDENTIAL IS THERE"},
		"no control":         {[]string{strings.Repeat("x", 2_500_000)}, nil, "2.5" + tail + ": uncontrolled, the guest's own settings were not found either"},
		"the search fails":   {[]string{plan.Placeholder}, errors.New("no such VM"), "uncontrolled: the guest reported no exit code: no such VM"},
		"found, then failed": {[]string{apiToken}, errors.New("no such VM"), "0.0" + tail + ": A CREDENTIAL IS THERE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.full()
			w.agent = func(_ context.Context, o smolvm.ExecOptions) (string, error) {
				if !strings.Contains(strings.Join(o.Command, " "), "--user root --workdir / -- sh -c cat /proc/[0-9]*/environ") {
					return frame(o, 0), nil
				}
				for _, piece := range test.pieces {
					if _, err := io.WriteString(o.Stdout, piece); err != nil {
						return "", err
					}
				}
				if test.fail != nil {
					return "", test.fail
				}
				return frame(o, 0), nil
			}
			bottle := w.running()
			var out output
			if code, err := bottle.Run(t.Context(), out.stdio()); code != 0 || err != nil {
				t.Fatalf("Run() = %d, %v: the search is no part of the agent's end", code, err)
			}
			if out.stdout.Len()+out.stderr.Len() > 0 {
				t.Error("the search is shown to the agent's caller")
			}
			if receipt := bottle.Receipt(); !strings.Contains(receipt, "  search   "+test.want+"\n") {
				t.Errorf("want %q:\n%s", test.want, receipt)
			}
		})
	}
}

// Without a credential to look for, and in other templates, the receipt claims nothing.
func TestSearchWithoutCredentials(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{"demo": "  search   uncontrolled: there is no credential to look for\n", "claude": ""} {
		w := newWorld(t)
		w.full()
		w.plan.Template, w.secrets.Tokens = template, nil
		w.agent = func(_ context.Context, o smolvm.ExecOptions) (string, error) {
			_, err := io.WriteString(o.Stdout, plan.Placeholder)
			return frame(o, 0), err
		}
		bottle := w.running()
		var out output
		if _, err := bottle.Run(t.Context(), out.stdio()); err != nil {
			t.Fatal(err)
		}
		if receipt := bottle.Receipt(); !strings.Contains(receipt, want) || strings.Contains(receipt, "search") != (want != "") {
			t.Errorf("template %s:\n%s", template, receipt)
		}
	}
}

// The echo upstream is on the other side of egress, so it learns the credential's hash only.
func TestEchoLearnsTheHashOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	w.running()
	sum := sha256.Sum256([]byte("Bearer " + apiToken))
	if stdin := string(w.spec.EchoStdin); !strings.Contains(stdin, `"api.bottle.test":{"header":"Authorization","sha256":"`+hex.EncodeToString(sum[:])+`"}`) ||
		strings.Contains(stdin, apiToken) || strings.Contains(stdin, base64.StdEncoding.EncodeToString([]byte(apiToken))) {
		t.Error("the echo's bootstrap lacks the hash, or has the token")
	}
	if stdin := string(w.spec.EchoStdin); !strings.Contains(stdin, `"repositories":["app.git"]`) {
		t.Error("the echo serves other repositories than the plan's")
	}
}

// The guest believes egress's authority, and the echo's only where it speaks with the echo
// itself: else egress alone verifies the echo.
func TestWhomTheGuestBelieves(t *testing.T) {
	t.Parallel()
	const egress, echo = "bottle demo-aaaaa", "bottle demo-aaaaa echo upstream"
	routed := func(p *plan.Plan) {
		p.Firewall.Hosts = slices.DeleteFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Mode == "plain" })
	}
	for name, test := range map[string]struct {
		change func(*plan.Plan)
		want   []string
	}{
		"a plain and a routed echo name": {func(*plan.Plan) {}, []string{egress, echo}},
		"routed echo names only":         {routed, []string{egress}},
		"no egress": {func(p *plan.Plan) {
			p.Daemons, p.Egress, p.Supervise = []string{"firewall"}, nil, false
			p.Git = plan.Git{}
		}, []string{echo}},
	} {
		w := newWorld(t)
		w.full()
		test.change(&w.plan)
		w.running()
		if got := authorities(t, w.archives[0]); !slices.Equal(got, test.want) {
			t.Errorf("%s: the guest believes %q, want %q", name, got, test.want)
		}
	}
}

// authorities are the names of the certificates in an archive, sorted, without doubles.
func authorities(t *testing.T, archive string) []string {
	t.Helper()
	var names []string
	for rest := []byte(strings.ReplaceAll(archive, "-----BEGIN", "\n-----BEGIN")); ; { // a tar header has no line end
		block, after := pem.Decode(rest)
		if block == nil {
			slices.Sort(names)
			return slices.Compact(names)
		}
		rest = after
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, cert.Subject.CommonName)
	}
}

// The agent's git and MCP settings lead to the daemons behind the gate.
func TestGuestIsLedToTheDaemons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	w.running()
	sent := w.archives[0]
	for _, want := range []string{
		`[url "http://127.0.0.1:9420/app.git"]`, `insteadOf = "ssh://git@git.bottle.test/app.git"`,
		`[url "http://127.0.0.1:9420/lib.git"]`, `insteadOf = "ssh://git@git.example.com:2222/team/lib.git"`,
		"name = \"A Person\"", "home/agent/.bottle/mcp.json", `"url": "http://127.0.0.1:9100/mcp"`,
	} {
		if !strings.Contains(sent, want) {
			t.Errorf("the guest gets no %s", want)
		}
	}
	w = newWorld(t)
	w.running()
	if sent := w.archives[0]; strings.Contains(sent, "insteadOf") || strings.Contains(sent, "9100") {
		t.Error("a bottle without remotes and supervise gets their settings")
	}
}
