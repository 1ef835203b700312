package guestapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/guestapi"
)

const nonce = guestapi.Nonce("0123456789abcdef")

func TestArgs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ got, want []string }{
		"exec": {
			guestapi.ExecArgs(guestapi.ExecOptions{
				Nonce: nonce, User: guestapi.AgentUser, Workdir: guestapi.AgentWorkdir,
				Command: []string{"claude", "-p", "--", "a b"},
			}),
			[]string{
				"/usr/local/bin/bottle-guest", "exec", "--nonce", "0123456789abcdef",
				"--user", "agent", "--workdir", "/home/agent/work", "--", "claude", "-p", "--", "a b",
			},
		},
		"exec on a terminal": {
			guestapi.ExecArgs(guestapi.ExecOptions{
				Nonce: nonce, User: guestapi.RootUser, Workdir: "/", Command: []string{"sh"},
				Session: "s1", Term: "xterm-256color", Rows: 24, Cols: 80,
			}),
			[]string{
				"/usr/local/bin/bottle-guest", "exec", "--nonce", "0123456789abcdef",
				"--user", "root", "--workdir", "/", "--session", "s1", "--term", "xterm-256color",
				"--rows", "24", "--cols", "80", "--", "sh",
			},
		},
		"winsize": {
			guestapi.WinsizeArgs("s1", 24, 80),
			[]string{"/usr/local/bin/bottle-guest", "winsize", "s1", "24", "80"},
		},
		"provision": {
			guestapi.ProvisionArgs(nonce, 8888),
			[]string{"/usr/local/bin/bottle-guest", "provision", "--nonce", "0123456789abcdef", "8888"},
		},
		"serve": {guestapi.ServeArgs(), []string{"/usr/local/bin/bottle-guest", "serve"}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSocketPath(t *testing.T) {
	t.Parallel()
	if got := guestapi.SocketPath(8888); got != "/run/bottle/8888.sock" {
		t.Errorf("SocketPath = %q", got)
	}
}

func TestNonce(t *testing.T) {
	t.Parallel()
	first, second := guestapi.NewNonce(), guestapi.NewNonce()
	if first == second {
		t.Errorf("two equal nonces: %s", first)
	}
	if _, err := guestapi.ParseNonce(string(first)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef\n", "0123456789abcdef0"} {
		if _, err := guestapi.ParseNonce(bad); err == nil || !strings.HasSuffix(err.Error(), ": want 16 digits from 0-9a-f") {
			t.Errorf("ParseNonce(%q) = %v", bad, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		check func(string) bool
		good  []string
		bad   []string
	}{
		{"session", guestapi.ValidSession, []string{"a", "s-1"}, []string{"", "..", "a/b", "-a", "A", "a\n", strings.Repeat("a", 65)}},
		{"term", guestapi.ValidTerm, []string{"xterm-256color", "screen.linux"}, []string{"", "a b", "../x", "a\n", "$(x)"}},
		{"env", guestapi.ValidEnvName, []string{"A", "_a1"}, []string{"", "1A", "A-B", "A=B", "A\n", "É"}},
	} {
		for _, text := range test.good {
			if !test.check(text) {
				t.Errorf("%s: %q was refused", test.name, text)
			}
		}
		for _, text := range test.bad {
			if test.check(text) {
				t.Errorf("%s: %q was accepted", test.name, text)
			}
		}
	}
}
