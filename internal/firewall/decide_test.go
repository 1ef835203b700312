package firewall_test

import (
	"strings"
	"testing"

	"bottle.internal/internal/firewall"
)

func policy() firewall.Policy {
	return firewall.Policy{Bottle: "dev", Hosts: []firewall.Host{
		{Host: "api.example.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain},
		{Host: "api.example.test", Port: 8443, Scheme: firewall.HTTPS, Mode: firewall.Plain},
		{Host: "deb.example.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain},
		{Host: "mixed.example.test", Port: 8080, Scheme: firewall.HTTP, Mode: firewall.Plain},
		{Host: "inner.example.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain, Private: true},
		{Host: "192.168.7.7", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain, Private: true},
	}}
}

func TestDecideAllows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ method, target, route string }{
		{"CONNECT", "api.example.test:443", "api.example.test:443"},
		{"CONNECT", "API.Example.TEST:443", "api.example.test:443"},
		{"CONNECT", "api.example.test:8443", "api.example.test:8443"},
		{"CONNECT", "192.168.7.7:443", "192.168.7.7:443"},
		{"GET", "http://deb.example.test", "deb.example.test:80"},
		{"GET", "http://deb.example.test:80/", "deb.example.test:80"},
		{"HEAD", "http://DEB.example.test/pool/g%2b%2b.deb?x=1&page=2", "deb.example.test:80"},
		{"GET", "http://mixed.example.test:8080/a?", "mixed.example.test:8080"},
	} {
		d := firewall.Decide(policy(), test.method, test.target)
		if !d.Allow || d.Rule != firewall.RuleRoute || d.Route.String() != test.route || d.Status() != 200 || d.Hint != "" {
			t.Errorf("%s %s: %+v", test.method, test.target, d)
		}
	}
	d := firewall.Decide(policy(), "GET", "/health")
	if !d.Allow || d.Rule != firewall.RuleHealth {
		t.Errorf("health: %+v", d)
	}
}

func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	const unlisted = " is not in the allowlist of this bottle"
	spelt := func(target, why string) string { return `the target "` + target + `" is refused: ` + why }
	for _, test := range []struct {
		method, target string
		rule           firewall.Rule
		reason         string
	}{
		// The allowlist.
		{"CONNECT", "evil.test:443", firewall.RuleAllowlist, "evil.test:443" + unlisted},
		{"CONNECT", "sub.api.example.test:443", firewall.RuleAllowlist, "sub.api.example.test:443" + unlisted},
		{"CONNECT", "example.test:443", firewall.RuleAllowlist, "example.test:443" + unlisted},
		{"CONNECT", "xapi.example.test:443", firewall.RuleAllowlist, "xapi.example.test:443" + unlisted},
		{"CONNECT", "localhost:443", firewall.RuleAllowlist, "localhost:443" + unlisted},
		{"GET", "http://evil.test/x", firewall.RuleAllowlist, "evil.test:80" + unlisted},
		{"CONNECT", "nothing-is-allowed.invalid:443", firewall.RuleAllowlist, "nothing-is-allowed.invalid:443" + unlisted},
		{"CONNECT", "1.2.3.4:443", firewall.RuleLiteral, "1.2.3.4:443 is an address: only declared names are allowed"},
		{"CONNECT", "169.254.169.254:80", firewall.RuleLiteral, "169.254.169.254:80 is an address: only declared names are allowed"},
		{"GET", "http://127.0.0.1:9990/stats", firewall.RuleLiteral, "127.0.0.1:9990 is an address: only declared names are allowed"},
		{"CONNECT", "api.example.test:22", firewall.RulePort, "api.example.test:22" + unlisted + ": only port 443 (https), 8443 (https) of that host is"},
		{"GET", "http://api.example.test/", firewall.RulePort, "api.example.test:80" + unlisted + ": only port 443 (https), 8443 (https) of that host is"},
		{"CONNECT", "deb.example.test:80", firewall.RuleScheme, "deb.example.test:80 is declared for http, not for https"},
		{"GET", "http://api.example.test:443/", firewall.RuleScheme, "api.example.test:443 is declared for https, not for http"},
		{"GET", "https://api.example.test/", firewall.RuleScheme, "https goes through CONNECT, not through a plain request"},
		// Spellings.
		{"CONNECT", "", firewall.RuleSpelling, spelt("", "the host is empty")},
		{"CONNECT", ":443", firewall.RuleSpelling, spelt(":443", "the host is empty")},
		{"CONNECT", "api.example.test", firewall.RuleSpelling, spelt("api.example.test", "the port is missing")},
		{"CONNECT", "api.example.test:", firewall.RuleSpelling, spelt("api.example.test:", "the port is empty")},
		{"CONNECT", "api.example.test:0", firewall.RuleSpelling, spelt("api.example.test:0", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test:0443", firewall.RuleSpelling, spelt("api.example.test:0443", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test:+443", firewall.RuleSpelling, spelt("api.example.test:+443", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test:65979", firewall.RuleSpelling, spelt("api.example.test:65979", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test:443/", firewall.RuleSpelling, spelt("api.example.test:443/", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test:https", firewall.RuleSpelling, spelt("api.example.test:https", "the port is no number from 1 to 65535 in plain digits")},
		{"CONNECT", "api.example.test.:443", firewall.RuleSpelling, spelt("api.example.test.:443", "a trailing dot is not allowed")},
		{"CONNECT", "api.example.test@evil.test:443", firewall.RuleSpelling, spelt("[redacted]@evil.test:443", "user info before the host is not allowed")},
		{"CONNECT", "u:p@api.example.test:443", firewall.RuleSpelling, spelt("[redacted]@api.example.test:443", "user info before the host is not allowed")},
		{"CONNECT", "api.example.test\x00.evil.test:443", firewall.RuleSpelling, spelt(`api.example.test\x00.evil.test:443`, "it holds a space or a control character")},
		{"CONNECT", "api.example.test:443\r\nX: y", firewall.RuleSpelling, spelt(`api.example.test:443\r\nX: y`, "it holds a space or a control character")},
		{"CONNECT", "bücher.test:443", firewall.RuleSpelling, spelt(`b\u00fccher.test:443`, "it holds non-ASCII letters (the xn-- form is the one to declare)")},
		{"CONNECT", "аpi.example.test:443", firewall.RuleSpelling, spelt(`\u0430pi.example.test:443`, "it holds non-ASCII letters (the xn-- form is the one to declare)")},
		{"CONNECT", "[::1]:443", firewall.RuleSpelling, spelt("[::1]:443", "a colon or bracket in the host (IPv6 literals too) is not allowed")},
		{"CONNECT", "[::ffff:192.168.7.7]:443", firewall.RuleSpelling, spelt("[::ffff:192.168.7.7]:443", "a colon or bracket in the host (IPv6 literals too) is not allowed")},
		{"CONNECT", "2130706433:443", firewall.RuleSpelling, spelt("2130706433:443", "the host ends in a number and is no plain IPv4 address")},
		{"CONNECT", "0177.0.0.1:443", firewall.RuleSpelling, spelt("0177.0.0.1:443", "the host ends in a number and is no plain IPv4 address")},
		{"CONNECT", "0xc0a80707:443", firewall.RuleSpelling, spelt("0xc0a80707:443", "the host ends in a number and is no plain IPv4 address")},
		{"CONNECT", "192.168.1799:443", firewall.RuleSpelling, spelt("192.168.1799:443", "the host ends in a number and is no plain IPv4 address")},
		{"CONNECT", "api%2eexample.test:443", firewall.RuleSpelling, spelt("api%2eexample.test:443", "percent-encoding in the host is not allowed")},
		{"CONNECT", "http://api.example.test:443", firewall.RuleSpelling, spelt("http://api.example.test:443", "a colon or bracket in the host (IPv6 literals too) is not allowed")},
		{"CONNECT", strings.Repeat("a", 300), firewall.RuleSpelling, spelt(strings.Repeat("a", 80)+"...", "it is too long")},
		{"GET", "ftp://deb.example.test/", firewall.RuleSpelling, spelt("ftp://deb.example.test/", "it is neither host:port after CONNECT nor an http:// URL")},
		{"GET", "*", firewall.RuleSpelling, spelt("*", "it is neither host:port after CONNECT nor an http:// URL")},
		{"GET", "deb.example.test:80", firewall.RuleSpelling, spelt("deb.example.test:80", "it is neither host:port after CONNECT nor an http:// URL")},
		{"GET", "http://u:p@deb.example.test/", firewall.RuleSpelling, spelt("[redacted]@deb.example.test/", "user info before the host is not allowed")},
		{"GET", "http://deb.example.test/a#b", firewall.RuleSpelling, spelt("http://deb.example.test/a", "a fragment is not sent to a proxy")},
		{"GET", "http://deb.example.test/a b", firewall.RuleSpelling, spelt("http://deb.example.test/a b", "it holds a space, a control character or a byte outside ASCII")},
		{"GET", "http://deb.example.test/?token=" + strings.Repeat("x", 2048), firewall.RuleSpelling, spelt("http://deb.example.test/", "it is too long")},
		// Plain requests.
		{"POST", "http://deb.example.test/", firewall.RuleMethod, "POST is not allowed on a plain http route: only GET and HEAD are"},
		{"TRACE", "http://deb.example.test/", firewall.RuleMethod, "TRACE is not allowed on a plain http route: only GET and HEAD are"},
		{"GET", "http://deb.example.test/a//b", firewall.RulePath, "deb.example.test:80: the path holds //"},
		{"GET", "http://deb.example.test/%2e%2e/b", firewall.RulePath, "deb.example.test:80: the path escapes a slash, backslash, dot, percent, semicolon or control character"},
		{"GET", "http://deb.example.test?a", firewall.RulePath, "deb.example.test:80: the path does not begin with /"},
		{"GET", "http://deb.example.test/?a=1&access_token=s3cret", firewall.RuleQuery, `deb.example.test:80: the query carries "access_token", which is a credential`},
		{"GET", "http://deb.example.test/?X-Amz-Signature=s3cret", firewall.RuleQuery, `deb.example.test:80: the query carries "X-Amz-Signature", which is a credential`},
		{"GET", "http://deb.example.test/?a;api%5fkey=s3cret", firewall.RuleQuery, `deb.example.test:80: the query carries "api_key", which is a credential`},
		{"GET", "http://deb.example.test/?%zz=1", firewall.RuleQuery, `deb.example.test:80: the query carries "%zz", which is a credential`},
		// The firewall itself.
		{"GET", "/", firewall.RuleForm, "this is a proxy: only GET /health is answered here"},
		{"GET", "/stats?token=s3cret", firewall.RuleForm, "this is a proxy: only GET /health is answered here"},
		{"GET", "/health?x", firewall.RuleForm, "this is a proxy: only GET /health is answered here"},
		{"POST", "/health", firewall.RuleForm, "this is a proxy: only GET /health is answered here"},
		{"GET", "//api.example.test/", firewall.RuleForm, "this is a proxy: only GET /health is answered here"},
		{"CONNECT", "/health", firewall.RuleSpelling, spelt("/health", "a host is letters, digits and inner dashes, in labels of 1 to 63 bytes")},
	} {
		d := firewall.Decide(policy(), test.method, test.target)
		if d.Allow || d.Rule != test.rule || d.Reason != test.reason {
			t.Errorf("%s %q:\n got %v %s %s\nwant %s %s", test.method, test.target, d.Allow, d.Rule, d.Reason, test.rule, test.reason)
		}
		if strings.Contains(d.Reason+d.Hint+d.Target.Host+d.Target.Path, "s3cret") {
			t.Errorf("%s %q: the secret is in %+v", test.method, test.target, d)
		}
	}
}

func TestDecideStatus(t *testing.T) {
	t.Parallel()
	for rule, want := range map[firewall.Rule]int{
		firewall.RuleAllowlist: 403, firewall.RuleSpelling: 403, firewall.RulePort: 403, firewall.RuleMethod: 403,
		firewall.RuleAddress: 403, firewall.RuleBody: 403, firewall.RuleRevoked: 403, firewall.RuleForm: 404,
		firewall.RulePath: 400, firewall.RuleResolve: 502, firewall.RuleDial: 502, firewall.RuleLimit: 503,
	} {
		if got := (firewall.Decision{Rule: rule}).Status(); got != want {
			t.Errorf("status of %s = %d, want %d", rule, got, want)
		}
	}
}

func TestDecideHints(t *testing.T) {
	t.Parallel()
	const ask = "ask the operator to add a route to bottle.toml: [[bottles.dev.egress.routes]] host = "
	for target, want := range map[string]string{
		"CONNECT evil.test:443":            ask + `"evil.test"`,
		"CONNECT evil.test:8443":           ask + `"evil.test:8443"`,
		"CONNECT api.example.test:22":      ask + `"api.example.test:22"`,
		"GET http://evil.test/x":           ask + `"evil.test" scheme = "http"`,
		"GET http://evil.test:81/x":        ask + `"evil.test:81" scheme = "http"`,
		"CONNECT 1.2.3.4:443":              "",
		"CONNECT evil.test\x1b[2J:443":     "",
		"CONNECT evil.test$(id):443":       "",
		"POST http://deb.example.test/x":   "",
		"GET http://deb.example.test/a//b": "",
	} {
		method, target, _ := strings.Cut(target, " ")
		if d := firewall.Decide(policy(), method, target); d.Allow || d.Hint != want {
			t.Errorf("%s %s: hint %q, want %q", method, target, d.Hint, want)
		}
	}
	d := firewall.Decide(firewall.Policy{}, "CONNECT", "evil.test:443")
	if want := strings.Replace(ask, "dev", "NAME", 1) + `"evil.test"`; d.Allow || d.Hint != want {
		t.Errorf("hint without a bottle's name: %q", d.Hint)
	}
}

func TestDecideNothingAllowed(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"CONNECT api.example.test:443", "GET http://deb.example.test/", "CONNECT nothing-is-allowed.invalid:443"} {
		method, target, _ := strings.Cut(target, " ")
		if d := firewall.Decide(firewall.Policy{}, method, target); d.Allow {
			t.Errorf("%s %s is allowed by the empty policy", method, target)
		}
	}
}

// Whatever the agent writes: what is allowed names a declared route in every part, and
// what is said about it is one line of printable ASCII.
func FuzzDecide(f *testing.F) {
	for _, seed := range []string{
		"CONNECT api.example.test:443", "CONNECT [::1]:443", "GET http://deb.example.test/a?b=c", "GET /health",
		"CONNECT a@api.example.test:443", "CONNECT api.example.test.:443", "GET http://deb.example.test:80@x/",
	} {
		method, target, _ := strings.Cut(seed, " ")
		f.Add(method, target)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		d := firewall.Decide(policy(), method, target)
		for _, b := range []byte(d.Reason + d.Hint) {
			if b < ' ' || b > '~' {
				t.Fatalf("%q %q: unprintable text %q %q", method, target, d.Reason, d.Hint)
			}
		}
		if d.Reason == "" {
			t.Fatal("no reason")
		}
		if !d.Allow || d.Rule == firewall.RuleHealth {
			return
		}
		declared := false
		for _, host := range policy().Hosts {
			declared = declared || host.String() == d.Route.String() && host.Host == d.Target.Host && host.Port == d.Target.Port
		}
		lower := strings.TrimPrefix(strings.ToLower(target), "http://")
		if !declared || !strings.HasPrefix(lower, d.Route.Host) {
			t.Errorf("%q %q: allowed as %+v", method, target, d)
		}
		if (method == "CONNECT") != (d.Route.Scheme == firewall.HTTPS) {
			t.Errorf("%q %q: scheme %s", method, target, d.Route.Scheme)
		}
	})
}
