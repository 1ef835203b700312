package overseer_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/proposal"
	"bottle.internal/tests/sshd"
)

// SECURITY-RULES 24: what the host gives away is written down by the host. A git gate that was
// taken over can log in without a line of its own, and not without this one.
func TestSignaturesAreAudited(t *testing.T) {
	t.Parallel()
	var server, client ssh.Signer
	b := newBench(t, func(b *bench) {
		key, public := sshd.NewKey(t)
		identity := b.config.Remotes["app"]
		identity.KnownHostKey = "git.example.com " + public
		b.config.Remotes["app"] = identity
		server, client = signer(t, key.Reveal()), signer(t, identity.Key.Reveal())
	})
	say := func(message any) {
		t.Helper()
		raw := base64.StdEncoding.EncodeToString(ssh.Marshal(message))
		if _, err := b.ask("git-gate", "ssh-agent", map[string]string{"remote": "app", "session": "session-1", "message": raw}); err != nil {
			t.Fatal(err)
		}
	}
	session := make([]byte, 32)
	signature, err := server.Sign(rand.Reader, session)
	if err != nil {
		t.Fatal(err)
	}
	say(struct {
		Name       string `sshtype:"27"`
		HostKey    []byte
		SessionID  []byte
		Signature  []byte
		Forwarding bool
	}{"session-bind@openssh.com", server.PublicKey().Marshal(), session, ssh.Marshal(signature), false})
	if len(b.audited) > 0 {
		t.Errorf("audited %q before anything was signed", b.audited)
	}
	key := client.PublicKey().Marshal()
	say(struct {
		Key   []byte `sshtype:"13"`
		Data  []byte
		Flags uint32
	}{key, ssh.Marshal(struct {
		SessionID []byte
		Type      byte
		User      string
		Service   string
		Method    string
		Signed    bool
		Algorithm string
		Key       []byte
	}{session, 50, "git", "ssh-connection", "publickey", true, "ssh-ed25519", key}), 0})
	if !slices.Equal(b.audited, []string{overseer.EventSigned + " map[remote:app session:session-1]"}) {
		t.Errorf("audited %q", b.audited)
	}
}

func signer(t *testing.T, private string) ssh.Signer {
	t.Helper()
	s, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A token that is another one than before is an event of its host, without its value.
func TestNewTokensAreAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, same := range []bool{true, true, false} {
		b.tokens.same = same
		if _, err := b.ask("egress", "token", map[string]int{"route": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(b.audited, []string{overseer.EventToken + " map[host:models.example.com port:443]"}) {
		t.Errorf("audited %q", b.audited)
	}
}

// A change that fails half way is taken back: a route that egress took and the operator was
// told is not in force would be open, for the firewall knows the hosts alone.
func TestHalfAChangeIsTakenBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	refusals := []string{daemons.Supervise, daemons.Egress} // the first attempt to take it back fails too
	b.Follow(func(ctx context.Context, daemon string, inputs control.Inputs) error {
		_ = b.deliver(ctx, daemon, inputs)
		if len(refusals) > 0 && refusals[0] == daemon {
			refusals = refusals[1:]
			return errBroken
		}
		return nil
	})
	id := b.wants("public.example.com").ID // wider: all paths instead of /v1
	if outcome := b.decide(id, proposal.Answer{Verdict: proposal.Approve}); outcome.Status != ask.Failed || outcome.Problem != errBroken.Error() {
		t.Fatalf("outcome %+v", outcome)
	}
	last := map[string]string{}
	for _, d := range b.delivered {
		last[d.daemon] = shown(d.inputs)
	}
	for name, inputs := range b.inputsNow() {
		if text, ok := last[name]; ok && name != daemons.Supervise && text != shown(inputs) {
			t.Errorf("%s still has\n%s", name, text)
		}
	}
	if b.order() != "egress firewall supervise egress egress firewall" {
		t.Errorf("delivered to %q", b.order())
	}
}

func TestABundleThatHangsHoldsUpOneDecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.Follow(func(ctx context.Context, _ string, _ control.Inputs) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		outcome := b.approve(fresh, false)
		if want := "the bundle did not take it within 10s"; outcome.Status != ask.Failed || outcome.Problem != want {
			t.Errorf("outcome %+v, want %q", outcome, want)
		}
	})
}
