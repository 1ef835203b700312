package egress

import (
	"net/http"
	"slices"
	"strings"
)

// isTransport reports headers that frame the message or steer the connection.
func isTransport(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Content-Encoding", "Content-Type", "Expect", "Host", "Http2-Settings",
		"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via", "Forwarded", "Accept-Encoding":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Sec-Websocket-")
}

// isOverride reports headers by which some servers take another method, path or host than
// the ones of the request line.
func isOverride(name string) bool {
	switch name {
	case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url",
		"X-Original-Host", "X-Host", "X-Original-Uri", "X-Real-Ip":
		return true
	}
	return strings.Contains(name, "Override")
}

// isCredential reports headers that could carry a credential of the agent's own.
func isCredential(name string) bool {
	lower := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if lower == "cookie" || lower == "cookie2" {
		return true
	}
	for _, part := range []string{
		"authorization", "token", "secret", "password", "passwd", "credential", "api-key", "apikey", "access-key",
		"session-key", "private-key", "auth-key", "x-auth", "signature", "jwt", "assertion",
	} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// requestHeaders is what every route may send: what API clients and caches need, and
// nothing that could hold a credential. The names are canonical.
func requestHeaders() map[string]bool {
	set := map[string]bool{}
	for _, name := range []string{
		"Accept", "Accept-Language", "Cache-Control", "Content-Disposition", "Content-Language", "Content-Md5",
		"Content-Range", "Content-Type", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
		"If-Range", "If-Unmodified-Since", "Last-Event-Id", "Pragma", "Prefer", "Priority", "Range",
		"User-Agent", "X-Request-Id", "Request-Id", "X-Correlation-Id", "Traceparent", "Tracestate",
		// SDKs and agents.
		"X-App", "X-Client-Request-Id", "X-Github-Api-Version", "Graphql-Features", "X-Requested-With",
		"Chatgpt-Account-Id", "Originator", "Session_id", "Session-Id", "Conversation_id", "Conversation-Id",
		"Thread_id", "Thread-Id", "Version", "Mcp-Protocol-Version", "Mcp-Session-Id", "X-Session-Affinity",
		"X-Title", "Http-Referer",
	} {
		set[name] = true
	}
	return set
}

// requestPrefixes are families of headers that SDKs and agents send.
func requestPrefixes() []string {
	return []string{"Anthropic-", "X-Stainless-", "Openai-", "X-Openai-", "X-Claude-Code-", "X-Claude-", "X-Codex-", "X-Opencode-"}
}

// headerRule decides for one route which headers of the agent go on.
type headerRule struct {
	names    map[string]bool
	prefixes []string
}

func newHeaderRule(r Route) headerRule {
	rule := headerRule{names: requestHeaders(), prefixes: requestPrefixes()}
	for _, name := range r.PassHeaders {
		rule.names[name] = true
	}
	if r.Auth != nil {
		delete(rule.names, r.Auth.Header)
	}
	return rule
}

func (h headerRule) admits(name string) bool {
	if h.names[name] {
		return true
	}
	return slices.ContainsFunc(h.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) &&
		!isCredential(name) && !isOverride(name)
}

// copyRequest keeps what the rule admits.
func (h headerRule) copyRequest(dst, src http.Header) {
	for name, values := range src {
		if h.admits(name) {
			dst[name] = values
		}
	}
}

// isHop reports headers of an answer that belong to the connection, or that would lead
// the agent's client around egress.
func isHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc", "X-Bottle-Reason", "Http2-Settings":
		return true
	}
	return false
}

// copyAnswer leaves out what belongs to the hop, and what the route's policy drops.
func (rt *route) copyAnswer(dst, src http.Header) {
	var named []string
	for _, value := range src["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			named = append(named, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	secrets := rt.secrets()
	for name, values := range src {
		if isHop(name) || slices.Contains(named, name) || (rt.Auth != nil && (name == "Set-Cookie" || name == "Set-Cookie2")) {
			continue
		}
		dst[secrets.Redact(name)] = redactAll(secrets, values)
	}
}
