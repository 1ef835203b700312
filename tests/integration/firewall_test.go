//go:build integration

package integration

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"bottle.internal/pkg/bundle"
)

// One of the five: the firewall answers from inside the guest.
func TestFirewallAnswersFromTheGuest(t *testing.T) {
	l := theBottle(t)
	if got := l.sh(t, "curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:8888/health"); got != "200" {
		t.Errorf("health: %s", got)
	}
	// The echo upstream's authority is in the guest's store: curl verifies it.
	if got := l.sh(t, "curl -sS -o /dev/null -w '%{http_connect} %{http_code}' https://echo.bottle.test/"); got != "200 200" {
		t.Errorf("an allowed host: %s", got)
	}
	if got := l.sh(t, "curl -sS http://plain.bottle.test/bytes/12 | wc -c"); got != "12" {
		t.Errorf("an allowed plain host: %s bytes", got)
	}
}

// Everything here is alive, and the bundle, which does the refusing, could reach it.
func TestFirewallRefuses(t *testing.T) {
	l := theBottle(t)
	address := l.upstreamAddress(t)
	a := l.addresses(t)
	for _, alive := range []string{
		"unlisted.bottle.test:443", "alive.bottle.test:443", "up.bottle.test:8443", "up.bottle.test:80", "up.bottle.test:443",
		"plain.bottle.test:443", net.JoinHostPort(address, "443"), net.JoinHostPort(a.bundle, "7070"), "127.0.0.1:8888",
	} {
		l.reachableFromBundle(t, alive)
	}
	// The control of the question itself.
	if got := l.probeGuest(t, "connect", proxy, "up.bottle.test:443", "UP.bottle.TEST:443"); got != "up.bottle.test:443: 200\nUP.bottle.TEST:443: 200" {
		t.Fatalf("the control: %s", got)
	}
	before := l.seen(t)
	ip := strings.Split(address, ".")
	number := 0
	for _, part := range ip {
		n, _ := strconv.Atoi(part)
		number = number<<8 + n
	}
	targets := map[string]string{ // target: what the reason must say
		"unlisted.bottle.test:443":             "unlisted.bottle.test:443 is not in the allowlist of this bottle",
		"alive.bottle.test:443":                "alive.bottle.test:443 is not in the allowlist of this bottle",
		"up.bottle.test:8443":                  "up.bottle.test:8443 is not in the allowlist of this bottle: only port",
		"up.bottle.test:80":                    "only port",
		"plain.bottle.test:443":                "only port",
		"plain.bottle.test:80":                 "is declared for http, not for https",
		address + ":443":                       "is an address: only declared names are allowed",
		a.bundle + ":7070":                     "is an address: only declared names are allowed",
		"127.0.0.1:8888":                       "is an address: only declared names are allowed",
		"localhost:8888":                       "not in the allowlist",
		strconv.Itoa(number) + ":443":          "ends in a number",
		"0x7f.1:8888":                          "ends in a number",
		"127.1:8888":                           "ends in a number",
		"[::1]:8888":                           "bracket",
		"[::ffff:" + address + "]:443":         "bracket",
		"up.bottle.test.:443":                  "trailing dot",
		"up.bottle.test@alive.bottle.test:443": "user info",
		"up%2ebottle.test:443":                 "percent-encoding",
		"up.bottle.test:0443":                  "port is no number",
		"up.bottle.test:443:443":               "colon",
		"up.bottle.test:":                      "port is empty",
		"up.bottle.test":                       "port is missing",
	}
	var all []string
	for target := range targets {
		all = append(all, target)
	}
	answers := answersOf(l.probeGuest(t, append([]string{"connect", proxy}, all...)...))
	for target, want := range targets {
		if got := answers[target]; !strings.HasPrefix(got, "403 ") && !strings.HasPrefix(got, "400") || !strings.Contains(got, want) && !strings.HasPrefix(got, "400") {
			t.Errorf("%s: %q, want 403 and %q", target, got, want)
		}
	}
	if after := l.seen(t); after.Accepted["443"] != before.Accepted["443"] || after.Accepted["8443"] != before.Accepted["8443"] {
		t.Errorf("a refused request reached the upstream: %v, then %v", before.Accepted, after.Accepted)
	}
}

func answersOf(lines string) map[string]string {
	answers := map[string]string{}
	for line := range strings.Lines(lines) {
		target, answer, _ := strings.Cut(strings.TrimSpace(line), ": ")
		answers[target] = answer
	}
	return answers
}

func (l *live) upstreamAddress(t *testing.T) string {
	t.Helper()
	info, err := l.upstream.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NetworkSettings.Networks[bundle.KindNetwork.Name(l.id)].IPAddress.String()
}

// Plain requests: only to http routes, only without what could carry a credential out.
func TestFirewallRefusesPlainRequests(t *testing.T) {
	l := theBottle(t)
	allowed := "http://plain.bottle.test/bytes/5"
	before := l.seen(t)
	want := map[string]string{
		allowed:                                       "200",
		"http://up.bottle.test/bytes/5":               "403 ",
		"http://up.bottle.test:443/bytes/5":           "403 ",
		"http://alive.bottle.test/bytes/5":            "403 ",
		"http://" + l.upstreamAddress(t) + "/bytes/5": "403 ",
		"http://plain.bottle.test/a/../bytes/5":       "400 ",
		"http://plain.bottle.test/bytes/5?token=x":    "403 ",
		"https://up.bottle.test/bytes/5":              "403 ",
	}
	var all []string
	for url := range want {
		all = append(all, url)
	}
	got := l.probeGuest(t, append([]string{"plain", proxy}, all...)...)
	for line := range strings.Lines(got) {
		for url, status := range want {
			if answer, ok := strings.CutPrefix(strings.TrimSpace(line), url+": "); ok && !strings.HasPrefix(answer+" ", status) {
				t.Errorf("%s: %s, want %s", url, answer, status)
			}
		}
	}
	if after := l.seen(t); after.Requests != before.Requests+1 {
		t.Errorf("the upstream saw %d requests, want the one that is allowed", after.Requests-before.Requests)
	}
}

// The name inside TLS must be the one that CONNECT got through with.
func TestFirewallComparesTheName(t *testing.T) {
	l := theBottle(t)
	before := l.seen(t)
	if got := l.probeGuest(t, "tls", proxy, "up.bottle.test:443", "up.bottle.test"); got != "handshake done" {
		t.Fatalf("the control: %s", got)
	}
	l.reachableFromBundle(t, "alive.bottle.test:443")
	for _, name := range []string{"alive.bottle.test", "", "up.bottle.test.alive.bottle.test"} {
		if got := l.probeGuest(t, "tls", proxy, "up.bottle.test:443", name); !strings.HasPrefix(got, "handshake: ") {
			t.Errorf("%q: %s", name, got)
		}
	}
	after := l.seen(t)
	if after.Names["up.bottle.test"] != before.Names["up.bottle.test"]+1 || len(after.Names) != max(len(before.Names), 1) {
		t.Errorf("the upstream saw the names %v, before %v", after.Names, before.Names)
	}
}
