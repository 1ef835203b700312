package egress_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/egress"
)

func example() egress.Config {
	return egress.Config{
		Placeholder: placeholder, Canaries: []string{canary}, UpstreamProxy: "http://proxy.corp.test:3128",
		Routes: []egress.Route{
			{
				Host: "api.anthropic.com", Port: 443, Methods: []string{"GET", "POST"}, Paths: []string{"/v1/"},
				Auth: &egress.Auth{Header: "Authorization", Scheme: "Bearer"}, Provider: true, WebSocket: true,
			},
			{
				Host: "files.example.com", Port: 8443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/"},
				AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, PassHeaders: []string{"X-Trace"},
			},
		},
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	data, err := egress.Render(example())
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "egress.json")
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(data, want) {
		t.Errorf("%v; rendered:\n%s", err, data)
	}
	config, err := egress.Parse(data)
	if err != nil || config.Version != 1 || len(config.Routes) != 2 || config.Routes[0].Auth.Scheme != "Bearer" {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	data, err := egress.Render(example())
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	const form = "reading egress.json: it is not in the form that bottle writes"
	for _, test := range []struct{ text, want string }{
		{"", "reading egress.json: it ends too early"},
		{"{", "reading egress.json: it ends too early"},
		{"[]", "reading egress.json:  cannot be a array"},
		{"{}", "reading egress.json: version 0, only 1 is understood"},
		{strings.Replace(text, `"version": 1`, `"version": 2`, 1), "reading egress.json: version 2, only 1 is understood"},
		{strings.Replace(text, `"version": 1`, `"version": "1"`, 1), "reading egress.json: version cannot be a string"},
		{strings.Replace(text, `"version": 1`, `"version": 1, "more": 1`, 1), `reading egress.json: json: unknown field "more"`},
		{strings.Replace(text, `"websocket": true`, `"WebSocket": true`, 1), form},
		{strings.Replace(text, `"websocket": true`, `"websocket": false, "websocket": true`, 1), form},
		{text + " ", form},
		{text + "{}", form},
		{strings.ReplaceAll(text, "  ", " "), form},
		{strings.Replace(text, `"api.anthropic.com"`, `"API.anthropic.com"`, 1), `reading egress.json: route 0: host "API.anthropic.com": write it in lower case`},
	} {
		if _, err := egress.Parse([]byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(*egress.Config)
		want   string
	}{
		{func(c *egress.Config) { c.Placeholder = "short" }, "the placeholder has to be 8 to 256 bytes of printable ASCII"},
		{func(c *egress.Config) { c.Canaries = []string{"a\nb-long-enough"} }, "a canary has to be 8 to 256 bytes of printable ASCII"},
		{func(c *egress.Config) { c.OnCanary = "ignore" }, `on_canary is "ignore", only "cut" and "warn" are understood`},
		{func(c *egress.Config) { c.UploadBudget = -1 }, "upload_budget is negative"},
		{func(c *egress.Config) { c.Routes = make([]egress.Route, 1025) }, "1025 routes, at most 1024 are allowed"},
		{func(c *egress.Config) { c.UpstreamProxy = "https://proxy.test:1" }, "upstream_proxy: only http://host:port is understood"},
		{func(c *egress.Config) { c.UpstreamProxy = "http://me:pw@proxy.test:1" }, "upstream_proxy: user and password belong into the input proxy-auth"},
		{func(c *egress.Config) { c.UpstreamProxy = "http://proxy.test" }, "upstream_proxy: the port is missing or no number from 1 to 65535"},
		{func(c *egress.Config) { c.UpstreamProxy = "http://proxy.test:99999" }, "upstream_proxy: the port is missing or no number from 1 to 65535"},
		{func(c *egress.Config) { c.UpstreamProxy = "http://proxy_.test:1/x" }, "upstream_proxy: only http://host:port is understood"},
		{func(c *egress.Config) { c.Routes[1] = c.Routes[0] }, "route 1: api.anthropic.com:443 is there twice"},
		{func(c *egress.Config) { c.Routes[0].Host = "10.0.0.1" }, `route 0: host "10.0.0.1": an address has no certificate; name the host`},
		{func(c *egress.Config) { c.Routes[0].Host = "a_b" }, `route 0: host "a_b": a host is letters, digits and inner dashes, in labels of 1 to 63 bytes`},
		{func(c *egress.Config) { c.Routes[0].Port = 0 }, `route 0: host "api.anthropic.com" has no port`},
		{func(c *egress.Config) { c.Routes[0].Port = 9080 }, "route 0: api.anthropic.com:9080: port 9080 belongs to the bundle"},
		{func(c *egress.Config) { c.Routes[0].Methods = nil }, "route 0: api.anthropic.com:443: methods and paths must name something"},
		{func(c *egress.Config) { c.Routes[0].Methods = []string{"TRACE"} }, `route 0: api.anthropic.com:443: method "TRACE" is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`},
		{func(c *egress.Config) { c.Routes[0].Paths = []string{"v1"} }, `route 0: api.anthropic.com:443: path "v1": the path does not begin with /`},
		{func(c *egress.Config) { c.Routes[0].Paths = []string{"/a%20b"} }, `route 0: api.anthropic.com:443: path "/a%20b": a prefix is plain text without escapes and query`},
		{func(c *egress.Config) { c.Routes[0].PassHeaders = []string{"Cookie"} }, `route 0: api.anthropic.com:443: pass_headers "Cookie": it carries credentials, which the agent must not send`},
		{func(c *egress.Config) { c.Routes[0].PassHeaders = []string{"Connection"} }, `route 0: api.anthropic.com:443: pass_headers "Connection": it belongs to the connection`},
		{func(c *egress.Config) { c.Routes[0].PassHeaders = []string{"X-Http-Method-Override"} }, `route 0: api.anthropic.com:443: pass_headers "X-Http-Method-Override": it would replace what was checked`},
		{func(c *egress.Config) { c.Routes[0].PassHeaders = []string{"x-a"} }, `route 0: api.anthropic.com:443: pass_headers "x-a": it is no name of a header in canonical form`},
		{func(c *egress.Config) { c.Routes[0].Auth.Header = "Host" }, "route 0: api.anthropic.com:443: auth: header Host belongs to the connection"},
		{func(c *egress.Config) { c.Routes[0].Auth.Header = "a b" }, `route 0: api.anthropic.com:443: auth: header "a b" is no name of a header in canonical form`},
		{func(c *egress.Config) { c.Routes[0].Auth.Scheme = "a b" }, `route 0: api.anthropic.com:443: auth: scheme "a b" is no word such as Bearer`},
		{func(c *egress.Config) { c.Routes[1].AllowMint = true }, "route 1: files.example.com:8443: allow_mint and provider have a meaning only beside auth"},
		{func(c *egress.Config) { c.Routes[1].Private = true }, "route 1: files.example.com:8443: private and allow_private exclude each other"},
		{func(c *egress.Config) { c.Routes[1].AllowPrivate[0] = netip.MustParsePrefix("127.0.0.0/8") }, `route 1: files.example.com:8443: allow_private "127.0.0.0/8" is no private range in canonical form`},
		{func(c *egress.Config) { c.Routes[1].UpstreamCA = "x" }, "route 1: files.example.com:8443: upstream_ca holds no certificate"},
		{func(c *egress.Config) { c.Routes[1].UploadBudget = -1 }, "route 1: files.example.com:8443: upload_budget is negative"},
	} {
		config := example()
		test.change(&config)
		if _, err := egress.Render(config); err == nil || err.Error() != "rendering egress.json: "+test.want {
			t.Errorf("got  %v\nwant rendering egress.json: %s", err, test.want)
		}
	}
}

// What is accepted is exactly what would be written.
func FuzzParse(f *testing.F) {
	data, err := egress.Render(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	empty, _ := egress.Render(egress.Config{})
	f.Add(empty)
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := egress.Parse(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q has more than one line", err)
			}
			return
		}
		again, err := egress.Render(config)
		if err != nil || !bytes.Equal(again, data) || !json.Valid(data) {
			t.Errorf("%q became %q, %v", data, again, err)
		}
	})
}

// What passes names the route's host, begins with a prefix at a border, and is no push.
func FuzzDecide(f *testing.F) {
	for _, target := range []string{"/v1/x", "/v1", "/v10", "/v1/../x", "/v1/%2e", "//v1", "/v1?service=git-receive-pack", "https://a/", "*"} {
		f.Add("GET", target, "api.test")
	}
	f.Add("POST", "/v1/x/git-receive-pack", "api.test:443")
	r := bearer("api.test")
	r.Methods, r.Paths = []string{"GET", "POST"}, []string{"/v1"}
	f.Fuzz(func(t *testing.T, method, target, authority string) {
		refused := egress.Decide(r, egress.Head{Method: method, Target: target, Authority: authority})
		if refused != nil {
			for i := range len(refused.Reason) {
				if refused.Reason[i] < ' ' || refused.Reason[i] > '~' {
					t.Fatalf("%q is no printable line", refused.Reason)
				}
			}
			if refused.Status() < 400 {
				t.Fatalf("status %d", refused.Status())
			}
			return
		}
		name := strings.TrimSuffix(strings.ToLower(authority), ":443")
		path, _, _ := strings.Cut(target, "?")
		switch {
		case name != "api.test":
			t.Errorf("authority %q passed", authority)
		case method != "GET" && method != "POST":
			t.Errorf("method %q passed", method)
		case path != "/v1" && !strings.HasPrefix(path, "/v1/"):
			t.Errorf("path %q passed", path)
		case strings.Contains(path, "/../"), strings.Contains(path, "//"), strings.Contains(strings.ToLower(path), "receive-pack/"):
			t.Errorf("path %q passed", path)
		case strings.ContainsAny(target, " \r\n\t#\\"):
			t.Errorf("target %q passed", target)
		}
	})
}
