package egress

import (
	"slices"
	"strings"
)

// mintPaths lists, by provider, the requests that make a credential which egress does not
// know and so could not keep from the agent. "*" is one segment, "**" at the end any
// number of them. They are in lower case; GET and HEAD pass unless the pattern begins
// with "GET ".
func mintPaths(host string) []string {
	oauth := []string{"/oauth/**", "/v1/oauth/**", "/api/oauth/**"}
	switch host {
	case "api.anthropic.com":
		return append(oauth, "/v1/organizations/**")
	case "console.anthropic.com", "platform.claude.com", "claude.ai":
		return append(oauth, "/api/organizations/**", "/v1/organizations/**")
	case "api.openai.com":
		return []string{
			"/v1/organization/**", "/v1/realtime/sessions", "/v1/realtime/client_secrets",
			"/v1/realtime/transcription_sessions", "/v1/chatkit/sessions/**", "/v1/oauth/**",
		}
	case "auth.openai.com":
		return append(oauth, "/api/accounts/**")
	case "api.github.com":
		return githubPaths()
	case "github.com":
		return []string{"/login/**", "/settings/**"}
	case "gitlab.com":
		return append(oauth, "/api/v4/user/keys", "/api/v4/users/*/keys", "/api/v4/user/gpg_keys", "/api/v4/user/runners",
			"/api/v4/runners/**", "/api/v4/users/*/impersonation_tokens/**", "/api/v4/projects/*/triggers/**")
	case "generativelanguage.googleapis.com":
		return []string{"/v1alpha/auth_tokens", "/v1beta/auth_tokens"}
	case "openrouter.ai":
		return []string{"/api/v1/keys/**", "/api/v1/auth/keys/**"}
	case "api.cloudflare.com":
		return []string{"/client/v4/user/tokens/**", "/client/v4/accounts/*/tokens/**"}
	case "api.deepgram.com":
		return []string{"/v1/auth/grant", "/v1/projects/*/keys"}
	}
	return nil
}

func githubPaths() []string {
	return []string{
		"/app/installations/*/access_tokens", "/app-manifests/*/conversions", "/applications/**", "/authorizations/**",
		"/repos/*/*/keys", "/user/keys", "/user/gpg_keys", "/user/ssh_signing_keys", "/admin/**",
		"/repos/*/*/actions/runners/**", "/orgs/*/actions/runners/**", "/enterprises/*/actions/runners/**",
		"/repos/*/*/collaborators/**", "/orgs/*/invitations", "/orgs/*/memberships/**",
		"GET /copilot_internal/**",
	}
}

// mintNames are last segments of such requests on any host, such as a company's own forge.
func mintNames() []string {
	return []string{
		"access_tokens", "access-tokens", "personal_access_tokens", "deploy_tokens", "deploy_keys", "api_keys", "api-keys",
		"apikeys", "admin_api_keys", "client_secrets", "service_accounts", "ephemeral_keys", "ephemeral_tokens",
		"registration-token", "remove-token", "generate-jitconfig", "create_api_key", "auth_tokens",
	}
}

// mints reports a request that makes a credential. The path is unescaped, in lower case.
func mints(host, method, path string) bool {
	reads := method == "GET" || method == "HEAD"
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, pattern := range mintPaths(host) {
		pattern, evenRead := strings.CutPrefix(pattern, "GET ")
		if (!reads || evenRead) && matches(segments, strings.Split(strings.Trim(pattern, "/"), "/")) {
			return true
		}
	}
	return !reads && slices.Contains(mintNames(), segments[len(segments)-1])
}

func matches(segments, pattern []string) bool {
	for i, want := range pattern {
		switch {
		case want == "**":
			return true
		case i >= len(segments), want != "*" && want != segments[i]:
			return false
		}
	}
	return len(segments) == len(pattern)
}
