package firewall_test

import (
	"crypto/tls"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/firewall"
)

// What is planted has the forms of real credentials; these belong to nobody.
const (
	fakeKey   = "AKIA" + "Q7ZMLEFT4WXYZ2345"
	fakeToken = "ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"
)

func planted(t *testing.T, handler http.HandlerFunc) *world {
	t.Helper()
	w := newWorld(t, withCanaries(firewall.Policy{Bottle: "dev", Hosts: []firewall.Host{
		{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain},
		{Host: "a.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain},
	}}), firewall.Limits{})
	w.place("deb.test", 80, httpUpstream(t, handler))
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	return w
}

// alarm awaits one and checks what it tells, and that nothing tells the canary.
func (w *world) alarm(value string, want entry) {
	w.t.Helper()
	got := w.await("canary", nil)
	if got.Rule != "canary" || !*got.Blocked || got.Fingerprint != canary.Fingerprint(value) ||
		got.Where != want.Where || got.Host != want.Host || got.Method != want.Method || got.Path != "" {
		w.t.Errorf("%+v\nwant %+v", got, want)
	}
	w.stop()
	if strings.Contains(strings.ToLower(w.log.String()), strings.ToLower(value)) {
		w.t.Errorf("it is in the log:\n%s", w.log.String())
	}
}

// A canary in anything that can be read of a request is refused before all other rules, and
// told as what it is; most would be taken for any secret otherwise, and one in a name for
// nothing but a host that is not allowed.
func TestCanariesAreRefused(t *testing.T) {
	t.Parallel()
	const deb = "\r\nHost: deb.test\r\n\r\n"
	inLabels := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(fakeToken))
	for name, test := range map[string]struct {
		request, value string
		want           entry
	}{
		"path":                {"GET http://deb.test/" + fakeKey + " HTTP/1.1" + deb, fakeKey, entry{Where: "target", Host: "deb.test", Method: "GET"}},
		"query, hex":          {"GET http://deb.test/?q=" + hex.EncodeToString([]byte(fakeToken)) + " HTTP/1.1" + deb, fakeToken, entry{Where: "target", Host: "deb.test", Method: "GET"}},
		"query, one escape":   {"GET http://deb.test/?q=%2541" + fakeKey[1:] + " HTTP/1.1" + deb, fakeKey, entry{Where: "target", Host: "deb.test", Method: "GET"}},
		"header":              {"GET http://deb.test/ HTTP/1.1\r\nUser-Agent: " + fakeToken + deb, fakeToken, entry{Where: "headers", Host: "deb.test", Method: "GET"}},
		"dropped header":      {"GET http://deb.test/ HTTP/1.1\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+fakeToken)) + deb, fakeToken, entry{Where: "headers", Host: "deb.test", Method: "GET"}},
		"name of a header":    {"GET http://deb.test/ HTTP/1.1\r\nX-" + fakeKey + ": 1" + deb, fakeKey, entry{Where: "headers", Host: "deb.test", Method: "GET"}},
		"method":              {fakeKey + " http://deb.test/ HTTP/1.1" + deb, fakeKey, entry{Where: "target", Host: "deb.test"}},
		"a host":              {connectTo(strings.ToLower(fakeKey) + ".evil.test:443"), fakeKey, entry{Where: "target", Host: "[redacted].evil.test", Method: "CONNECT"}},
		"labels":              {connectTo(strings.ToLower(fakeKey[:9]+"."+fakeKey[9:]) + ".evil.test:443"), fakeKey, entry{Where: "target", Host: "[redacted].evil.test", Method: "CONNECT"}},
		"base32 in labels":    {connectTo(strings.ToLower(inLabels[:40]+"."+inLabels[40:]) + ".evil.test:443"), fakeToken, entry{Where: "target", Host: "[redacted].evil.test", Method: "CONNECT"}},
		"hex in labels":       {connectTo(hex.EncodeToString([]byte(fakeKey)) + ".evil.test:443"), fakeKey, entry{Where: "target", Host: "[redacted].evil.test", Method: "CONNECT"}},
		"a whole host":        {connectTo(strings.ToLower(fakeKey) + ":443"), fakeKey, entry{Where: "target", Host: "[redacted]", Method: "CONNECT"}},
		"a header of CONNECT": {"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nX-Odd: " + fakeToken + "\r\n\r\n", fakeToken, entry{Where: "headers", Host: "a.test", Method: "CONNECT"}},
		"plain to a stranger": {"GET http://evil.test/" + fakeKey + " HTTP/1.1\r\nHost: x\r\n\r\n", fakeKey, entry{Where: "target", Host: "evil.test", Method: "GET"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := planted(t, func(http.ResponseWriter, *http.Request) { t.Error("it arrived") })
			status, reason, body := w.ask(test.request)
			if status != http.StatusForbidden || reason != "a canary in the "+test.want.Where || body != "bottle: "+reason+"\n" {
				t.Errorf("%d %q %q", status, reason, body)
			}
			if len(w.net.Dialed()) != 0 || w.net.Lookups()["evil.test"] != 0 {
				t.Error("dialed, or asked for an address")
			}
			w.alarm(test.value, test.want)
		})
	}
}

func TestCanaryInAHello(t *testing.T) {
	t.Parallel()
	w := planted(t, nil)
	client := tls.Client(w.tunnel("a.test:443"), &tls.Config{ServerName: strings.ToLower(fakeKey) + ".a.test", InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err == nil {
		t.Error("the tunnel is open")
	}
	w.alarm(fakeKey, entry{Where: "client hello", Host: "a.test", Method: "CONNECT"})
}

// What comes back in clear went out on a way that nobody saw.
func TestCanariesInAnswers(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"header": func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-Note", fakeToken) },
		"body":   func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "begin "+fakeToken) },
		"pieces": func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "begin "+fakeToken[:9])
			_ = http.NewResponseController(rw).Flush()
			_, _ = io.WriteString(rw, fakeToken[9:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := planted(t, handler)
			all, _ := io.ReadAll(w.raw("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n"))
			if strings.Contains(string(all), fakeToken) || strings.HasSuffix(string(all), "0\r\n\r\n") {
				t.Errorf("the agent got %q", all)
			}
			w.alarm(fakeToken, entry{Where: "answer", Host: "deb.test", Method: "GET"})
		})
	}
}

// A flood of other denials hides no alarm, and alarms are not held back themselves.
func TestAlarmsAreAllWritten(t *testing.T) {
	t.Parallel()
	w := planted(t, nil)
	const each = 120
	for range each {
		w.ask(connectTo("evil.test:443"))
		w.ask(connectTo(strings.ToLower(fakeKey) + ".evil.test:443"))
	}
	w.stop()
	alarms, denials := 0, 0
	for _, e := range w.log.Entries(t) {
		switch e.Event {
		case "canary":
			alarms++
		case "deny":
			denials++
		}
	}
	if alarms != each || denials >= each {
		t.Errorf("%d alarms and %d denials of %d each", alarms, denials, each)
	}
}

// New canaries come with new inputs; ones that could be found by chance are refused.
func TestCanariesOfAPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	before := connectTo(strings.ToLower(fakeKey) + ".evil.test:443")
	if _, reason, _ := w.ask(before); strings.HasPrefix(reason, "a canary") {
		t.Errorf("nothing is planted: %s", reason)
	}
	if err := w.server.Reload(withCanaries(https("a.test"))); err != nil {
		t.Fatal(err)
	}
	if _, reason, _ := w.ask(before); reason != "a canary in the target" {
		t.Errorf("after the reload: %s", reason)
	}
	for text, want := range map[string]string{
		"short":                  "checking canary 1: it has to be 8 to 256 bytes of printable ASCII",
		"two\nlines-of-text":     "checking canary 1: it has to be 8 to 256 bytes of printable ASCII",
		strings.Repeat("x", 257): "checking canary 1: it has to be 8 to 256 bytes of printable ASCII",
	} {
		if err := w.server.Reload(firewall.Policy{Canaries: []string{text}}); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if err := w.server.Reload(firewall.Policy{Canaries: make([]string, 65)}); err == nil || err.Error() != "checking canaries: 65 of them, at most 64 are allowed" {
		t.Error(err)
	}
}
