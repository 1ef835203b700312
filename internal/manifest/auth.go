package manifest

import (
	"regexp"
	"slices"
	"strings"
)

const tokenExample = `token = "env:NAME", "file:PATH" or { cmd = ["program", "argument"] }`

var (
	headerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,31}$`)
	envPattern    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// readAuth reads the credential of a route; nil without one.
func readAuth(t *table) *Auth {
	if t == nil {
		return nil
	}
	if len(t.values) == 0 {
		t.place.bad("is empty; leave auth out for a route without a credential")
		return nil
	}
	auth := &Auth{}
	if header, ok := t.required("header", `header = "Authorization"`); ok {
		auth.Header = canonicalHeader(header)
		switch {
		case !headerPattern.MatchString(header):
			t.bad("header", "%q is not the name of a header", header)
		case isTransport(auth.Header):
			t.bad("header", "%s belongs to the connection and cannot carry a credential", auth.Header)
		}
	}
	scheme, ok := read[string](t, "scheme", "a string")
	auth.Scheme = scheme
	switch {
	case ok && scheme != "" && !schemePattern.MatchString(scheme):
		t.bad("scheme", "%q is not a scheme such as \"Bearer\"", scheme)
	case !t.has("scheme") && auth.Header == "Authorization":
		t.place.bad(`scheme is missing: scheme = "Bearer", or "" to send the token alone`)
	}
	auth.Token = readToken(t)
	t.done()
	return auth
}

func readToken(t *table) Token {
	v, ok := t.get("token")
	if !ok {
		t.place.bad("token is missing: %s", tokenExample)
		return Token{}
	}
	switch v := v.(type) {
	case string:
		return textToken(t, v)
	case map[string]any:
		inner := t.table("token")
		token := Token{Kind: TokenCmd}
		for _, item := range inner.list("cmd", `["program", "argument"]`) {
			argument, ok := item.v.(string)
			switch {
			case !ok:
				item.bad("must be a string, not %s", kindOf(item.v))
			case argument == "" && len(token.Cmd) == 0, strings.ContainsAny(argument, "\x00\r\n"):
				item.bad("%q cannot be an argument", argument)
			}
			token.Cmd = append(token.Cmd, argument)
		}
		if len(token.Cmd) == 0 {
			inner.place.bad(`cmd is missing or empty: { cmd = ["program", "argument"] }`)
		}
		inner.done()
		return token
	}
	t.bad("token", "must be a string or a table, not %s: %s", kindOf(v), tokenExample)
	return Token{}
}

func textToken(t *table, text string) Token {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case kind == "env" && envPattern.MatchString(name):
		return Token{Kind: TokenEnv, Name: name}
	case kind == "env":
		// Not quoted: it may be the credential itself.
		t.bad("token", "env: needs the name of a variable, such as env:API_TOKEN")
	case kind == "file" && name != "" && !strings.ContainsRune(name, 0):
		return Token{Kind: TokenFile, Name: name}
	case kind == "file":
		t.bad("token", "file: needs a path")
	case kind == "cmd":
		t.bad("token", `a command is a list, because no shell reads it: { cmd = ["program", "argument"] }`)
	default:
		// Whatever stands here may be the credential itself: never repeat it.
		t.bad("token", "must say where the credential is, never be it: %s", tokenExample)
	}
	return Token{}
}

// canonicalHeader spells a header as net/http does.
func canonicalHeader(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, part := range parts {
		if part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "-")
}

// isTransport reports headers that frame the message or steer the connection.
func isTransport(name string) bool {
	return slices.Contains([]string{
		"Connection", "Content-Length", "Content-Encoding", "Content-Type", "Expect", "Host", "Http2-Settings",
		"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via", "Forwarded",
	}, name) || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Forwarded-")
}

// isCredential reports headers that could carry the agent's own credential.
func isCredential(name string) bool {
	return slices.Contains([]string{"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-Goog-Api-Key", "Api-Key"}, name)
}

func checkPassHeader(at place, header string) (string, bool) {
	name := canonicalHeader(header)
	switch {
	case !headerPattern.MatchString(header):
		at.bad("%q is not the name of a header", header)
	case isTransport(name):
		at.bad("%s belongs to the connection and cannot be passed", name)
	case isCredential(name):
		at.bad("%s carries credentials, which the agent must not send", name)
	default:
		return name, true
	}
	return "", false
}
