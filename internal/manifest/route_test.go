package manifest_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestHosts: what a route's host may be, and what people write instead.
func TestHosts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ host, want string }{
		{"a.test", ""},
		{"A.Test", ""},
		{"xn--bcher-kva.test", ""},
		{"a.test:8443", ""},
		{"https://a.test/x", `"https://a.test/x" is a URL; write only the host: "a.test"`},
		{"a.test/x", `"a.test/x" contains a path; write only the host and use paths = [...] for the rest`},
		{"me@a.test", `"me@a.test" contains a user; write only the host`},
		{"*.a.test", `"*.a.test": wildcards are not allowed; list each host`},
		{"bücher.test", `"bücher.test" is not plain ASCII; write its A-label form "xn--bcher-kva.test"`},
		{"аpple.test", `"аpple.test" is not plain ASCII; write its A-label form "xn--pple-43d.test"`},
		{"a\u202eb.test", `"a\u202eb.test" is not plain ASCII; write the host as its xn-- form`},
		{"xn--a.test", `"xn--a.test" is not a valid xn-- name`},
		{"127.0.0.1", `"127.0.0.1" is an address; routes name hosts`},
		{"127.0.0.1:80", `"127.0.0.1" ends in a number, so some programs take it for an address`},
		{"[::1]:443", `"[::1]:443" is an address; routes name hosts`},
		{"::1", `"::1" is an address; routes name hosts`},
		{"0x7f.1", `"0x7f.1" ends in a number, so some programs take it for an address`},
		{"2130706433", `"2130706433" is a single label; write the full name, such as "2130706433.example.com"`},
		{"localhost", `"localhost" is a single label; write the full name, such as "localhost.example.com"`},
		{"a.test.", `"a.test.": leave out the dot at the end`},
		{"a..test", `"a..test": a label is empty`},
		{"-a.test", `"-a.test": a label begins or ends with a dash`},
		{"a_b.test", `"a_b.test": only letters, digits, dashes and dots are allowed in a host`},
		{"a b.test", `"a b.test": only letters, digits, dashes and dots are allowed in a host`},
		{"a.test\r\n", `"a.test\r\n": only letters, digits, dashes and dots are allowed in a host`},
		{strings.Repeat("a", 64) + ".test", `"` + strings.Repeat("a", 64) + `.test": a label is longer than 63 bytes`},
		{strings.Repeat("a.", 130) + "test", `"a.a.a.a.a.a.a.a.a.a."... is too long for a host: 264 bytes, at most 253`},
		{":443", `the host is empty`},
		{"a.test:", `port "" must be a number from 1 to 65535`},
		{"a.test:0443", `port "0443" must be a number from 1 to 65535`},
		{"a.test:+443", `port "+443" must be a number from 1 to 65535`},
		{"a.test:65536", `port "65536" must be a number from 1 to 65535`},
		{"a.test:8888", `port 8888 is bottle's own (8888, 9080, 9100, 9420 and 9990 are)`},
		{"a.test:9080", `port 9080 is bottle's own (8888, 9080, 9100, 9420 and 9990 are)`},
		{"a.test:9100", `port 9100 is bottle's own (8888, 9080, 9100, 9420 and 9990 are)`},
		{"a.test:9420", `port 9420 is bottle's own (8888, 9080, 9100, 9420 and 9990 are)`},
		{"a.test:9990", `port 9990 is bottle's own (8888, 9080, 9100, 9420 and 9990 are)`},
	} {
		_, err := load(fmt.Sprintf("[[bottles.b.egress.routes]]\nhost = %s\n", tomlString(test.host)))
		want := []string{"2: bottles.b.egress.routes[0].host: " + test.want}
		if test.want == "" {
			want = nil
		}
		compare(t, test.host, err, want)
	}
}

// tomlString writes a basic string.
func tomlString(text string) string {
	quoted := fmt.Sprintf("%+q", text)
	return strings.ReplaceAll(quoted, `\x`, `\u00`)
}

// TestRoutes: what the fields of a route demand of each other. The place is always the
// first route of bottle b, whose text begins in line 2.
func TestRoutes(t *testing.T) {
	t.Parallel()
	const auth = `auth = { header = "Authorization", scheme = "Bearer", token = "env:T" }`
	for _, test := range []struct {
		route string
		want  []string
	}{
		{``, []string{`1: ROUTE: host is missing: host = "api.example.com"`}},
		{`host = "a.test"; auth = {}; methods = ["GET"]; paths = ["/"]`, []string{`3: ROUTE.auth: is empty; leave auth out for a route without a credential`}},
		{`host = "a.test"; ` + auth, []string{
			`1: ROUTE: auth needs explicit methods, such as methods = ["GET", "POST"]`,
			`1: ROUTE: auth needs explicit paths, such as paths = ["/v1/"]; ["/"] means all of them`,
		}},
		{`host = "a.test"; methods = ["get", "TRACE", "FETCH", "GET", "GET"]`, []string{
			`3: ROUTE.methods[0]: methods are written in capitals: "GET"`,
			`3: ROUTE.methods[1]: TRACE is never allowed`,
			`3: ROUTE.methods[2]: unknown method "FETCH"; known: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`,
			`3: ROUTE.methods[4]: "GET" is listed twice`,
		}},
		{`host = "a.test"; paths = ["v1", "/a//b", "/a/../b", "/a;b", "/%2e", "/a?b", "/*", "/a\\b", "/ok/"]`, []string{
			`3: ROUTE.paths[0]: "v1" must begin with a slash`,
			`3: ROUTE.paths[1]: "/a//b" contains a double slash`,
			`3: ROUTE.paths[2]: "/a/../b" contains a ".." segment`,
			`3: ROUTE.paths[3]: "/a;b" contains ";"; a prefix is plain text without escapes, wildcards or a query`,
			`3: ROUTE.paths[4]: "/%2e" contains "%"; a prefix is plain text without escapes, wildcards or a query`,
			`3: ROUTE.paths[5]: "/a?b" contains "?"; a prefix is plain text without escapes, wildcards or a query`,
			`3: ROUTE.paths[6]: "/*" contains "*"; a prefix is plain text without escapes, wildcards or a query`,
			`3: ROUTE.paths[7]: "/a\\b" contains "\\"; a prefix is plain text without escapes, wildcards or a query`,
		}},
		{`host = "a.test"; methods = []; paths = []`, []string{
			`3: ROUTE.methods: is an empty list; leave it out or name something`,
			`4: ROUTE.paths: is an empty list; leave it out or name something`,
		}},
		{`host = "a.test"; address = "public"`, []string{`3: ROUTE.address: must be "private" (any private address), not "public"; name single ranges with allow_private`}},
		{`host = "a.test"; address = "private"; allow_private = ["10.0.0.0/8"]`, []string{`4: ROUTE.allow_private: beside address = "private" it would have no effect; keep one of the two`}},
		{`host = "a.test"; allow_private = ["10.1.2.3/16", "0.0.0.0/0", "127.0.0.0/8", "169.254.169.254/32", "10.0.0.1"]`, []string{
			`3: ROUTE.allow_private[0]: "10.1.2.3/16" has bits beyond its mask; write "10.1.0.0/16"`,
			`3: ROUTE.allow_private[1]: "0.0.0.0/0" is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public addresses need no entry, others are never allowed`,
			`3: ROUTE.allow_private[2]: "127.0.0.0/8" is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public addresses need no entry, others are never allowed`,
			`3: ROUTE.allow_private[3]: "169.254.169.254/32" is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public addresses need no entry, others are never allowed`,
			`3: ROUTE.allow_private[4]: "10.0.0.1" is not a range of addresses such as "10.1.0.0/16"`,
		}},
		{`host = "a.test"; scheme = "ftp"`, []string{`3: ROUTE.scheme: must be "https" or "http", not "ftp"`}},
		{`host = "a.test"; scheme = "http"; paths = ["/"]`, []string{`4: ROUTE.paths: needs https: a route with scheme = "http" is forwarded in clear by the firewall alone`}},
		{`host = "a.test"; websocket = true; allow_mint = true`, []string{
			`3: ROUTE.websocket: has no effect on a plain route, whose bytes nobody reads; give the route methods or paths`,
			`4: ROUTE.allow_mint: has a meaning only beside auth`,
		}},
		{`host = "a.test"; paths = ["/"]; pass_headers = ["Authorization", "Host", "x y", "Proxy-Authorization"]`, []string{
			`4: ROUTE.pass_headers[0]: Authorization carries credentials, which the agent must not send`,
			`4: ROUTE.pass_headers[1]: Host belongs to the connection and cannot be passed`,
			`4: ROUTE.pass_headers[2]: "x y" is not the name of a header`,
			`4: ROUTE.pass_headers[3]: Proxy-Authorization belongs to the connection and cannot be passed`,
		}},
	} {
		text := "[[bottles.b.egress.routes]]\n" + strings.ReplaceAll(test.route, "; ", "\n") + "\n"
		text = strings.ReplaceAll(text, "/a\nb", "/a;b")
		_, err := load(text)
		for i := range test.want {
			test.want[i] = strings.Replace(test.want[i], "ROUTE", "bottles.b.egress.routes[0]", 1)
		}
		compare(t, test.route, err, test.want)
	}
}

// TestTokens: where a credential may come from. A credential that was written into the
// manifest by mistake is not repeated.
func TestTokens(t *testing.T) {
	t.Parallel()
	const where = `token = "env:NAME", "file:PATH" or { cmd = ["program", "argument"] }`
	for _, test := range []struct{ auth, want string }{
		{`header = "Authorization", scheme = "Bearer", token = "env:T"`, ""},
		{`header = "X-Api-Key", token = "file:~/key"`, ""},
		{`header = "X-Api-Key", token = { cmd = ["gh", "auth", "token"] }`, ""},
		{`header = "Authorization", token = "env:T"`, `.auth: scheme is missing: scheme = "Bearer", or "" to send the token alone`},
		{`header = "X-Api-Key"`, ".auth: token is missing: " + where},
		{`header = "X-Api-Key", token = "sk-ant-very-secret"`, ".auth.token: must say where the credential is, never be it: " + where},
		{`header = "X-Api-Key", token = "env:sk-ant-very-secret"`, ".auth.token: env: needs the name of a variable, such as env:API_TOKEN"},
		{`header = "X-Api-Key", token = "file:"`, ".auth.token: file: needs a path"},
		{`header = "X-Api-Key", token = "cmd:gh auth token"`, `.auth.token: a command is a list, because no shell reads it: { cmd = ["program", "argument"] }`},
		{`header = "X-Api-Key", token = { cmd = "gh auth token" }`, `.auth.token.cmd: must be a list, not a string; for example: ["program", "argument"]` + "\nbottle.toml:5: bottles.b.egress.routes[0].auth.token: cmd is missing or empty: { cmd = [\"program\", \"argument\"] }"},
		{`header = "X-Api-Key", token = { cmd = ["a\nb"] }`, `.auth.token.cmd[0]: "a\nb" cannot be an argument`},
		{`header = "X-Api-Key", token = 1`, ".auth.token: must be a string or a table, not a whole number: " + where},
		{`header = "Host", token = "env:T"`, ".auth.header: Host belongs to the connection and cannot carry a credential"},
		{`header = "A B", token = "env:T"`, `.auth.header: "A B" is not the name of a header`},
		{`header = "X-Api-Key", scheme = "a b", token = "env:T"`, `.auth.scheme: "a b" is not a scheme such as "Bearer"`},
	} {
		_, err := load("[[bottles.b.egress.routes]]\nhost = \"a.test\"\nmethods = [\"GET\"]\npaths = [\"/\"]\nauth = { " + test.auth + " }\n")
		want := []string{"5: bottles.b.egress.routes[0]" + test.want}
		if test.want == "" {
			want = nil
		}
		compare(t, test.auth, err, want)
		if strings.Contains(text(err), "very-secret") {
			t.Errorf("the credential is repeated: %v", err)
		}
	}
}

func TestRoutesTogether(t *testing.T) {
	t.Parallel()
	const route = "[[bottles.b.egress.routes]]\nhost = %q\n"
	_, err := load(fmt.Sprintf(route+route+route+"address = \"private\"\n", "a.test", "A.TEST:443", "a.test:8443"))
	compare(t, "twice", err, []string{
		"4: bottles.b.egress.routes[1].host: a.test:443 is listed twice, first in line 2; one route holds all its methods and paths",
		`6: bottles.b.egress.routes[2].host: a.test has address = "private" on one port and not on another`,
	})
	_, err = load("[bottles.b]\necho = [\"a.test\"]\n" + fmt.Sprintf(route, "a.test"))
	compare(t, "echo", err, []string{
		`4: bottles.b.egress.routes[0].host: a.test is an echo name, and those have private addresses; add address = "private"`,
	})
	_, err = load("[bottles.b]\necho = [\"a.test\"]\n" + fmt.Sprintf(route, "a.test") + "address = \"private\"\npaths = [\"/\"]\nupstream_ca = \"ca.pem\"\n")
	compare(t, "echo's CA", err, []string{
		"4: bottles.b.egress.routes[0].host: a.test is an echo name, and bottle makes the certificate authority of those; leave upstream_ca out",
	})
}
