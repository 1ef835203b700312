package schema

import "github.com/google/jsonschema-go/jsonschema"

const routeHead = "[[bottles.dev.egress.routes]]"

// privateKeys say which private addresses the host of a route or a remote may have.
func privateKeys(what string) []Key {
	return []Key{
		{
			Name: "address", Kind: oneOf("private"), Default: "public only", Meaning: "the " + what + " may have any private address",
			Example: `"private"`, Mistake: `"10.1.0.0/16"`,
		},
		{
			Name: "allow_private", Kind: ranges(), Default: "`[]`", Meaning: "the " + what + " may have an address in these ranges. Not beside `address`",
			Example: `["10.1.0.0/16"]`, Mistake: `["10.1.0.1"]`,
		},
	}
}

func route() Table {
	keys := []Key{
		{
			Name: "host", Kind: like("string", hostPattern), Required: true,
			Meaning: "exact name, any case, with `:PORT` for another port than 443. No wildcards and no addresses. Names beyond ASCII are written in their `xn--` form. Ports 8888, 9080, 9100, 9420 and 9990 are bottle's own",
			Example: `"api.example.com"`, Mistake: `"https://api.example.com/v1"`,
		},
		{
			Name: "methods", Kind: list("list of `\"GET\"`, `\"HEAD\"`, `\"POST\"`, `\"PUT\"`, `\"PATCH\"`, `\"DELETE\"`, `\"OPTIONS\"`", oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")).notEmpty(),
			Default: "plain: all; routed: `[\"GET\", \"HEAD\"]`", Meaning: "allowed methods; required beside `auth`",
			Example: `["GET", "POST"]`, Mistake: `["get"]`,
		},
		{
			Name: "paths", Kind: list("list of strings", like("prefix", `^/[^?#%*\s]*$`)).notEmpty(), Default: "all",
			Meaning: "allowed prefixes, each beginning with `/`, in plain characters. `\"/v1\"` matches `/v1` and `/v1/x`, not `/v10`. Required beside `auth`; `[\"/\"]` means all",
			Example: `["/v1/"]`, Mistake: `["v1/*"]`,
		},
		{
			Name: "auth", Kind: inner("auth"), Meaning: "the credential, which egress adds; see [auth](#auth)",
			Example: `{ header = "x-api-key", token = "env:API_TOKEN" }`, With: "methods = [\"GET\"]\npaths = [\"/v1/\"]", Mistake: `{}`,
		},
	}
	keys = append(keys, privateKeys("host")...)
	keys = append(keys, []Key{
		{
			Name: "scheme", Kind: oneOf("https", "http"), Default: "`\"https\"`",
			Meaning: "`\"http\"` is forwarded in clear, on port 80 unless `host` says else; plain routes only",
			Example: `"http"`, Mistake: `"ftp"`,
		},
		{
			Name: "websocket", Kind: boolean(), Default: "`false`", Meaning: "WebSocket connections may be opened; routed only",
			Example: `true`, With: `methods = ["GET"]`, Mistake: `"ws"`,
		},
		{
			Name: "pass_headers", Kind: list("list of header names", like("header", headerPattern)), Default: "`[]`",
			Meaning: "request headers that the agent may send beside the usual ones; never credentials; routed only",
			Example: `["X-Request-Id"]`, With: `methods = ["GET"]`, Mistake: `["Authorization: Bearer"]`,
		},
		{
			Name: "allow_mint", Kind: boolean(), Default: "`false`", Meaning: "requests that create new credentials may pass; only beside `auth`",
			Example: `true`, Mistake: `"tokens"`,
			With: "methods = [\"GET\"]\npaths = [\"/v1/\"]\nauth = { header = \"x-api-key\", token = \"env:API_TOKEN\" }",
		},
		{
			Name: "bypasses_git_gate", Kind: boolean(), Default: "`false`",
			Meaning: "accepts a route that can write to a forge (such as `api.github.com`) in a bottle with `git.remotes`; without it that is refused. Taken for forges are the public ones, hosts named like one (`gitlab.` and the like), and the upstreams of the remotes",
			Example: `true`, Mistake: `"api.github.com"`,
		},
		{
			Name: "upstream_ca", Kind: path().as("path of a PEM file"), Default: "the system's",
			Meaning: "the certificate authority of this host, shown in the preflight; routed only, and not for an echo name",
			Example: `"corp-ca.pem"`, With: `methods = ["GET"]`, Mistake: `["corp-ca.pem"]`,
		},
	}...)
	routed := []string{"auth", "methods", "paths"}
	return Table{
		Title: "[[bottles.NAME.egress.routes]]", Name: "route", Head: routeHead, Keys: keys,
		rules: []*jsonschema.Schema{
			needs("auth", "methods", "paths"), needs("allow_mint", "auth"), notBoth("address", "allow_private"),
			needsOne("websocket", routed...), needsOne("pass_headers", routed...), needsOne("upstream_ca", routed...),
		},
	}
}

const headerPattern = `^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`

func auth() Table {
	return Table{
		Title: "auth", Name: "auth", Head: routeHead + "\nhost = \"api.example.com\"\nmethods = [\"GET\"]\npaths = [\"/v1/\"]\n[bottles.dev.egress.routes.auth]",
		Keys: []Key{
			{
				Name: "header", Kind: like("string", headerPattern), Required: true, Meaning: "the header that carries the credential",
				Example: `"x-api-key"`, Mistake: `"x-api-key: "`,
			},
			{
				Name: "scheme", Kind: like("string", `^([A-Za-z][A-Za-z0-9-]{0,31})?$`), Default: "none; required for `Authorization`",
				Meaning: "the word before the token, such as `\"Bearer\"`; `\"\"` sends the token alone",
				Example: `"Bearer"`, Mistake: `"Bearer "`,
			},
			{
				Name: "token", Required: true,
				Kind: Kind{"string or table", &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
					{Type: "string", Pattern: `^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.+)$`}, reference("command"),
				}}},
				Meaning: "where the credential is found: `\"env:NAME\"`, `\"file:PATH\"`, or a table with `cmd`",
				Example: `"env:API_TOKEN"`, Mistake: `"hunter2"`,
			},
		},
	}
}

func command() Table {
	return Table{
		Title: "token", Name: "command",
		Head: routeHead + "\nhost = \"api.example.com\"\nmethods = [\"GET\"]\npaths = [\"/v1/\"]\nauth.header = \"x-api-key\"\n[bottles.dev.egress.routes.auth.token]",
		Keys: []Key{{
			Name: "cmd", Kind: arguments(), Required: true, Meaning: "program and arguments that print the token; run on the host, without a shell",
			Example: `["gh", "auth", "token"]`, Mistake: `"gh auth token"`,
		}},
	}
}
