package egress_test

import (
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/egress"
)

func plain(host string) egress.Route {
	return egress.Route{Host: host, Port: 443, Methods: []string{"GET", "HEAD"}, Paths: []string{"/"}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	auth := bearer("api.test")
	auth.Paths, auth.Methods = []string{"/v1", "/files/"}, []string{"GET", "POST"}
	port := plain("api.test")
	port.Port = 8443
	socket := plain("api.test")
	socket.WebSocket = true
	get := func(target string) egress.Head {
		return egress.Head{Method: "GET", Target: target, Authority: "api.test"}
	}
	with := func(h egress.Head, change func(*egress.Head)) egress.Head { change(&h); return h }
	method := func(method, target string) egress.Head {
		return with(get(target), func(h *egress.Head) { h.Method = method })
	}
	named := func(authority string) egress.Head {
		return with(get("/v1"), func(h *egress.Head) { h.Authority = authority })
	}
	const paths = " is not under the paths of this route: /v1 /files/"
	for _, test := range []struct {
		route egress.Route
		head  egress.Head
		want  string // "" allows
	}{
		{auth, get("/v1"), ""},
		{auth, get("/v1/x?a=b&limit=3"), ""},
		{auth, get("/v1?"), ""},
		{auth, get("/files/"), ""},
		{auth, get("/v1/a%20b"), ""},
		{auth, get("/v10"), "403 paths: api.test:443: /v10" + paths},
		{auth, get("/files"), "403 paths: api.test:443: /files" + paths},
		{auth, get("/"), "403 paths: api.test:443: /" + paths},
		{auth, get("/V1/x"), "403 paths: api.test:443: /V1/x" + paths},
		{auth, get("/v1/../admin"), "400 path: api.test:443: the path holds a . or .. segment"},
		{auth, get("/v1/%2e%2e/admin"), "400 path: api.test:443: the path escapes a slash, backslash, dot, percent, semicolon or control character"},
		{auth, get("/v1/%252e"), "400 path: api.test:443: the path escapes a slash, backslash, dot, percent, semicolon or control character"},
		{auth, get("/v1%2fx"), "400 path: api.test:443: the path escapes a slash, backslash, dot, percent, semicolon or control character"},
		{auth, get("/v1//x"), "400 path: api.test:443: the path holds //"},
		{auth, get(`/v1\x`), "400 path: api.test:443: the path holds a backslash"},
		{auth, get("/v1;x"), "400 path: api.test:443: the path holds a semicolon"},
		{auth, get("/%761"), "400 path: api.test:443: the path escapes a character that needs no escape"},
		{auth, get("/v1?a=<b>"), "400 path: api.test:443: the query holds a character that has to be escaped"},
		{auth, get("/v1?a=\xff"), "400 path: api.test:443: the query holds a character that has to be escaped"},
		{auth, get("/v1#x"), "400 form: api.test:443: a fragment is not sent to a server"},
		{auth, get("https://api.test/v1"), "400 form: api.test:443: the request line has to hold a path, no URL and no *"},
		{auth, method("OPTIONS", "*"), "400 form: api.test:443: the request line has to hold a path, no URL and no *"},
		{auth, method("DELETE", "/v1"), "403 method: api.test:443: DELETE is not among the methods of this route: GET POST"},
		{auth, method("get", "/v1"), "403 method: api.test:443: get is not among the methods of this route: GET POST"},
		{auth, method("TRACE", "/v1"), "403 method: api.test:443: TRACE is never allowed"},
		{auth, method("track", "/v1"), "403 method: api.test:443: TRACK is never allowed"},
		{auth, method("CONNECT", "api.test:443"), "403 method: api.test:443: CONNECT is never allowed"},
		{auth, get("/v1?api_key=x"), `403 query: api.test:443: the query carries "api_key", which is a credential`},
		{auth, get("/v1?a=1&%61ccess_token=x"), `403 query: api.test:443: the query carries "access_token", which is a credential`},
		{auth, get("/v1?%zz=x"), `403 query: api.test:443: the query carries "%zz", which is a credential`},
		{auth, method("POST", "/v1?_method=DELETE"), "403 query: api.test:443: the query names another method"},
		{auth, get("/v1?q=" + strings.Repeat("a", 17<<10)), "414 length: api.test:443: the URL has 17414 bytes, at most 16384 are allowed"},
		{auth, get("/v1/app.git/info/refs?service=git-receive-pack"), "403 git: api.test:443: git pushes and LFS go through the git gate, not through HTTPS"},
		{auth, get("/v1/app.git/info/refs?x=1&service=git%2Dreceive-pack"), "403 git: api.test:443: git pushes and LFS go through the git gate, not through HTTPS"},
		{auth, method("POST", "/v1/app.git/git-receive-pack"), "403 git: api.test:443: git pushes and LFS go through the git gate, not through HTTPS"},
		{auth, method("POST", "/v1/app.git/GIT-receive-PACK/"), "403 git: api.test:443: git pushes and LFS go through the git gate, not through HTTPS"},
		{auth, method("POST", "/v1/app.git/info/lfs/objects/batch"), "403 git: api.test:443: git pushes and LFS go through the git gate, not through HTTPS"},
		{auth, get("/v1/app.git/info/refs?service=git-upload-pack"), ""},
		{auth, with(get("/v1"), func(h *egress.Head) { h.Upgrade = true }), "403 upgrade: api.test:443: the connection may not be upgraded: the route has no websocket = true"},
		{socket, with(get("/v1"), func(h *egress.Head) { h.Upgrade = true }), ""},
		{plain("api.test"), with(get("/x"), func(h *egress.Head) { h.HasBody = true }), "403 body: api.test:443: GET has no body on a route without a credential"},
		{open("api.test"), with(method("POST", "/x"), func(h *egress.Head) { h.HasBody = true }), ""},
		{open("api.test"), with(method("DELETE", "/x"), func(h *egress.Head) { h.HasBody = true }), "403 body: api.test:443: DELETE has no body on a route without a credential"},
		{auth, with(get("/v1"), func(h *egress.Head) { h.HasBody = true }), ""},
		{plain("api.test"), method("POST", "/x"), "403 method: api.test:443: POST is not among the methods of this route: GET HEAD"},
		{plain("api.test"), get("/" + strings.Repeat("a", 2<<10)), "414 length: api.test:443: the URL has 2049 bytes, at most 2048 are allowed"},
		{auth, named("api.test:443"), ""},
		{auth, named("API.test"), ""},
		{auth, named("evil.test"), `421 host: api.test:443: the request names "evil.test" instead`},
		{auth, named("api.test:8443"), `421 host: api.test:443: the request names "api.test:8443" instead`},
		{auth, named("api.test."), `421 host: api.test:443: the request names "api.test." instead`},
		{auth, named("api.test@evil.test"), `421 host: api.test:443: the request names "api.test@evil.test" instead`},
		{auth, named("api.test:443:443"), `421 host: api.test:443: the request names "api.test:443:443" instead`},
		{auth, named("api.test:0443"), `421 host: api.test:443: the request names "api.test:0443" instead`},
		{auth, named(""), `421 host: api.test:443: the request names "" instead`},
		{port, named("api.test:8443"), ""},
		{port, named("api.test"), `421 host: api.test:8443: the request names "api.test" instead`},
	} {
		got := ""
		if refused := egress.Decide(test.route, test.head); refused != nil {
			got = fmt.Sprintf("%d %s: %s", refused.Status(), refused.Rule, refused.Reason)
		}
		if got != test.want {
			t.Errorf("%s %.60s %s:\n got %s\nwant %s", test.head.Method, test.head.Target, test.head.Authority, got, test.want)
		}
	}
}

func TestMint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		host, method, path string
		mints              bool
	}{
		{"api.anthropic.com", "POST", "/v1/messages", false},
		{"api.anthropic.com", "POST", "/v1/organizations/o1/api_keys", true},
		{"api.anthropic.com", "GET", "/v1/organizations/me", false},
		{"api.anthropic.com", "POST", "/api/oauth/claude_cli/create_api_key", true},
		{"api.anthropic.com", "GET", "/api/oauth/profile", false},
		{"api.anthropic.com", "POST", "/V1/Organizations/o1/invites/", true},
		{"api.anthropic.com", "POST", "/v1/oauth/token", true},
		{"api.openai.com", "POST", "/v1/responses", false},
		{"api.openai.com", "POST", "/v1/organization/admin_api_keys", true},
		{"api.openai.com", "POST", "/v1/organization/projects/p/service_accounts", true},
		{"api.openai.com", "POST", "/v1/realtime/sessions", true},
		{"api.openai.com", "POST", "/v1/realtime/client_secrets", true},
		{"api.github.com", "POST", "/app/installations/1/access_tokens", true},
		{"api.github.com", "POST", "/repos/me/app/keys", true},
		{"api.github.com", "GET", "/repos/me/app/keys", false},
		{"api.github.com", "POST", "/repos/me/app/issues", false},
		{"api.github.com", "POST", "/user/keys", true},
		{"api.github.com", "POST", "/repos/me/app/actions/runners/registration-token", true},
		{"api.github.com", "GET", "/copilot_internal/v2/token", true},
		{"forge.example.com", "POST", "/api/v3/app/installations/1/access_tokens", true},
		{"forge.example.com", "POST", "/api/v4/projects/7/deploy_tokens", true},
		{"gitlab.com", "POST", "/api/v4/users/7/impersonation_tokens", true},
		{"gitlab.com", "POST", "/oauth/token", true},
	} {
		r := bearer(test.host)
		head := egress.Head{Method: test.method, Target: test.path, Authority: test.host}
		refused := egress.Decide(r, head)
		if (refused != nil) != test.mints || (refused != nil && (refused.Rule != egress.RuleMint || refused.Status() != 403)) {
			t.Errorf("%s %s%s: %v", test.method, test.host, test.path, refused)
		}
		r.AllowMint = true
		if refused := egress.Decide(r, head); refused != nil {
			t.Errorf("%s%s with allow_mint: %v", test.host, test.path, refused)
		}
	}
	// Without a credential there is nothing to mint with.
	if refused := egress.Decide(open("api.github.com"), egress.Head{Method: "POST", Target: "/user/keys", Authority: "api.github.com"}); refused != nil {
		t.Error(refused)
	}
}
