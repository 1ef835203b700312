package sshagent_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/secret"
	"bottle.internal/internal/sshagent"
)

const session = "session-1"

// host is a server that can sign session ids.
type host struct{ signer ssh.Signer }

func newSigner(t testing.TB) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, key)
}

func signerOf(t testing.TB, key any) (ssh.Signer, string) {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

func knownHost(key ssh.PublicKey) string {
	return "git.example.com " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// bind is the message that tells the agent of a session.
func (h host) bind(t testing.TB, change func(*bindMessage)) []byte {
	t.Helper()
	message := bindMessage{Name: "session-bind@openssh.com", HostKey: h.signer.PublicKey().Marshal(), SessionID: sessionID(1)}
	signature, err := h.signer.Sign(rand.Reader, message.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	message.Signature = ssh.Marshal(signature)
	if change != nil {
		change(&message)
	}
	return ssh.Marshal(message)
}

type bindMessage struct {
	Name       string `sshtype:"27"`
	HostKey    []byte
	SessionID  []byte
	Signature  []byte
	Forwarding bool
}

func sessionID(n byte) []byte { return append(make([]byte, 31), n) }

type login struct {
	SessionID []byte
	Type      byte
	User      string
	Service   string
	Method    string
	Signed    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"`
}

func sign(key ssh.PublicKey, flags uint32, data []byte) []byte {
	return ssh.Marshal(struct {
		Key   []byte `sshtype:"13"`
		Data  []byte
		Flags uint32
	}{key.Marshal(), data, flags})
}

func newAgent(t testing.TB, user string, server ssh.PublicKey, private string) *sshagent.Agent {
	t.Helper()
	agent, err := sshagent.New([]sshagent.Remote{
		{Name: "app", User: user, KnownHostKey: knownHost(server), Key: secret.New(private)},
	}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return agent
}

// What ssh does: list, bind, sign. The signature is good, with both methods and every type
// of key.
func TestLogin(t *testing.T) {
	t.Parallel()
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server, _ := newSigner(t)
	for _, test := range []struct {
		key       any
		flags     uint32
		algorithm string
	}{
		{ed, 0, "ssh-ed25519"},
		{ec, 0, "ecdsa-sha2-nistp256"},
		{rs, 4, "rsa-sha2-512"},
		{rs, 2, "rsa-sha2-256"},
	} {
		client, private := signerOf(t, test.key)
		for _, hostBound := range []bool{false, true} {
			agent := newAgent(t, "git", server.PublicKey(), private)
			list, err := agent.Handle("app", session, []byte{11})
			if err != nil || !strings.Contains(string(list), string(client.PublicKey().Marshal())) {
				t.Fatalf("list: %q, %v", list, err)
			}
			if reply, err := agent.Handle("app", session, host{server}.bind(t, nil)); err != nil || string(reply) != "\x06" {
				t.Fatalf("bind: %q, %v", reply, err)
			}
			l := login{sessionID(1), 50, "git", "ssh-connection", "publickey", true, test.algorithm, client.PublicKey().Marshal(), nil}
			if hostBound {
				l.Method, l.Rest = "publickey-hostbound-v00@openssh.com", ssh.Marshal(struct{ Key []byte }{server.PublicKey().Marshal()})
			}
			data := ssh.Marshal(l)
			reply, err := agent.Handle("app", session, sign(client.PublicKey(), test.flags, data))
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Signature []byte `sshtype:"14"`
			}
			var signature ssh.Signature
			if err := errors.Join(ssh.Unmarshal(reply, &answer), ssh.Unmarshal(answer.Signature, &signature), client.PublicKey().Verify(data, &signature)); err != nil {
				t.Errorf("%s: %v", test.algorithm, err)
			}
		}
	}
}

func TestBindIsStrict(t *testing.T) {
	t.Parallel()
	server, _ := newSigner(t)
	other, _ := newSigner(t)
	_, private := newSigner(t)
	for _, test := range []struct {
		message []byte
		want    string
	}{
		{host{other}.bind(t, nil), "the host key is not the pinned one"},
		{host{server}.bind(t, func(m *bindMessage) { m.Forwarding = true }), "a forwarded agent"},
		{host{server}.bind(t, func(m *bindMessage) { m.Name = "query" }), "an unknown extension"},
		{host{server}.bind(t, func(m *bindMessage) { m.SessionID = sessionID(2) }), "the host's signature is wrong"},
		{host{server}.bind(t, func(m *bindMessage) { m.SessionID = nil }), "a malformed session id"},
		{host{server}.bind(t, func(m *bindMessage) { m.Signature = []byte("x") }), "a malformed signature of the host"},
		{host{other}.bind(t, func(m *bindMessage) { m.HostKey = server.PublicKey().Marshal() }), "the host's signature is wrong"},
		{[]byte{27, 0}, "a malformed extension"},
	} {
		agent := newAgent(t, "git", server.PublicKey(), private)
		if _, err := agent.Handle("app", session, test.message); fmt.Sprint(err) != "the ssh agent refuses: "+test.want {
			t.Errorf("bind = %v, want %s", err, test.want)
		}
	}
	agent := newAgent(t, "git", server.PublicKey(), private)
	bind := host{server}.bind(t, nil)
	if _, err := agent.Handle("app", session, bind); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Handle("app", session, bind); !errors.Is(err, sshagent.ErrRefused) {
		t.Errorf("a second bind: %v", err)
	}
}

func TestSignIsStrict(t *testing.T) {
	t.Parallel()
	server, _ := newSigner(t)
	other, _ := newSigner(t)
	client, private := newSigner(t)
	mine := client.PublicKey()
	good := login{sessionID(1), 50, "git", "ssh-connection", "publickey", true, "ssh-ed25519", mine.Marshal(), nil}
	with := func(change func(*login)) []byte {
		l := good
		change(&l)
		return sign(mine, 0, ssh.Marshal(l))
	}
	hostBound := func(key ssh.PublicKey) func(*login) {
		return func(l *login) {
			l.Method, l.Rest = "publickey-hostbound-v00@openssh.com", ssh.Marshal(struct{ Key []byte }{key.Marshal()})
		}
	}
	for _, test := range []struct {
		message []byte
		want    string
	}{
		{with(func(l *login) { l.SessionID = sessionID(2) }), "a login to another session"},
		{with(func(l *login) { l.User = "root" }), "a login as another user"},
		{with(func(l *login) { l.Service = "ssh-userauth" }), "what is to be signed is no login"},
		{with(func(l *login) { l.Type = 51 }), "what is to be signed is no login"},
		{with(func(l *login) { l.Signed = false }), "what is to be signed is no login"},
		{with(func(l *login) { l.Algorithm = "ssh-rsa" }), "a login with another key"},
		{with(func(l *login) { l.Key = other.PublicKey().Marshal() }), "a login with another key"},
		{with(func(l *login) { l.Method = "hostbased" }), "an unknown way to log in"},
		{with(func(l *login) { l.Rest = []byte("more") }), "an unknown way to log in"},
		{with(hostBound(other.PublicKey())), "an unknown way to log in"},
		{with(func(l *login) { hostBound(server.PublicKey())(l); l.Rest = append(l.Rest, 0) }), "an unknown way to log in"},
		{sign(other.PublicKey(), 0, ssh.Marshal(good)), "another key"},
		{sign(mine, 1, ssh.Marshal(good)), "flags 1 for a key of type ssh-ed25519"},
		{sign(mine, 0, []byte("a git tag, or a file, or anything")), "what is to be signed is no login"},
		{sign(mine, 0, nil), "what is to be signed is no login"},
		{[]byte{13}, "a malformed request"},
		{[]byte{11, 0}, "a malformed request"},
		{[]byte{17, 0}, "request 17"}, // add a key
		{[]byte{19}, "request 19"},    // remove all
		{[]byte{20}, "request 20"},    // add from a provider
		{nil, "a message of 0 bytes"},
		{make([]byte, sshagent.MaxMessage+1), "a message of 65537 bytes"},
	} {
		agent := newAgent(t, "git", server.PublicKey(), private)
		if _, err := agent.Handle("app", session, host{server}.bind(t, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := agent.Handle("app", session, test.message); fmt.Sprint(err) != "the ssh agent refuses: "+test.want {
			t.Errorf("Handle = %v, want %s", err, test.want)
		}
	}
	agent := newAgent(t, "git", server.PublicKey(), private)
	if _, err := agent.Handle("app", session, with(func(*login) {})); fmt.Sprint(err) != "the ssh agent refuses: the session is not bound to a host" {
		t.Errorf("sign without bind: %v", err)
	}
	// A bind is good for its own session only.
	if _, err := agent.Handle("app", session, host{server}.bind(t, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Handle("app", "session-2", with(func(*login) {})); !errors.Is(err, sshagent.ErrRefused) {
		t.Errorf("sign in another session: %v", err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	server, _ := newSigner(t)
	_, private := newSigner(t)
	now := time.Unix(0, 0)
	agent, err := sshagent.New([]sshagent.Remote{
		{Name: "app", User: "git", KnownHostKey: knownHost(server.PublicKey()), Key: secret.New(private)},
	}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ask := func(session string) error {
		_, err := agent.Handle("app", session, []byte{11})
		return err
	}
	for i := range 64 {
		if err := ask(fmt.Sprintf("session-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("session-64"); fmt.Sprint(err) != "the ssh agent refuses: too many sessions" {
		t.Errorf("session 65: %v", err)
	}
	now = now.Add(3 * time.Minute)
	for range 16 {
		if err := ask("session-64"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("session-64"); fmt.Sprint(err) != "the ssh agent refuses: too many requests in one session" {
		t.Errorf("request 17: %v", err)
	}
	for _, name := range []string{"", "short", strings.Repeat("x", 65)} {
		if err := ask(name); fmt.Sprint(err) != "the ssh agent refuses: no name of a session" {
			t.Errorf("session %q: %v", name, err)
		}
	}
	if _, err := agent.Handle("other", session, []byte{11}); fmt.Sprint(err) != "the ssh agent refuses: no such remote" {
		t.Errorf("another remote: %v", err)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	server, _ := newSigner(t)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	_, good := newSigner(t)
	for _, test := range []struct {
		remote sshagent.Remote
		want   string
	}{
		{
			sshagent.Remote{User: "git", KnownHostKey: knownHost(server.PublicKey()), Key: secret.New(string(pem.EncodeToMemory(block)))},
			"the key has a passphrase: make one without for this remote, such as a deploy key",
		},
		{sshagent.Remote{User: "git", KnownHostKey: knownHost(server.PublicKey()), Key: secret.New("s3cret")}, "it is no private key that can be read"},
		{sshagent.Remote{User: "git", KnownHostKey: "x", Key: secret.New(good)}, "known_host_key is not HOST TYPE KEY"},
		{sshagent.Remote{User: "git", KnownHostKey: "x ssh-ed25519 AAAA", Key: secret.New(good)}, "known_host_key is not HOST TYPE KEY"},
		{sshagent.Remote{KnownHostKey: knownHost(server.PublicKey()), Key: secret.New(good)}, "the key cannot be used, or there is no user"},
	} {
		test.remote.Name = "app"
		if _, err := sshagent.New([]sshagent.Remote{test.remote}, time.Now); fmt.Sprint(err) != "reading the ssh key of app: "+test.want {
			t.Errorf("New = %v, want %s", err, test.want)
		}
	}
}

// Whatever is sent, nothing is signed without a bind, and there is an answer or an error.
func FuzzHandle(f *testing.F) {
	server, _ := newSigner(f)
	client, private := newSigner(f)
	good := login{sessionID(1), 50, "git", "ssh-connection", "publickey", true, "ssh-ed25519", client.PublicKey().Marshal(), nil}
	f.Add([]byte{11}, []byte{13})
	f.Add(host{server}.bind(f, nil), sign(client.PublicKey(), 0, ssh.Marshal(good)))
	f.Add(host{server}.bind(f, func(m *bindMessage) { m.Forwarding = true }), sign(client.PublicKey(), 0, nil))
	bound := string(host{server}.bind(f, nil))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		agent := newAgent(t, "git", server.PublicKey(), private)
		wasBound := false
		for _, message := range [][]byte{first, second} {
			reply, err := agent.Handle("app", session, message)
			if (err == nil) != (len(reply) > 0) {
				t.Fatalf("reply %q, error %v", reply, err)
			}
			if err == nil && reply[0] == 14 && !wasBound {
				t.Fatalf("signed without a bind: %q", message)
			}
			wasBound = wasBound || err == nil && reply[0] == 6
			if reply != nil && reply[0] == 6 && string(message) != bound && len(message) < len(bound) {
				t.Fatalf("bound by %q", message)
			}
		}
	})
}
