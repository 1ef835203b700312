package plan

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/manifest"
)

// env lists every variable of the guest, sorted by name: the template's, the manifest's
// over them, and those that make the boundary work, which nothing overrides.
func (r *resolver) env(p Plan, d demo) []Env {
	all := map[string]Env{}
	put := func(source, name, value string) {
		all[name] = Env{Name: name, Source: source, Value: value}
	}
	for name, value := range r.template.env {
		put(SourceTemplate, name, value)
	}
	if r.template.baseURLEnv != "" && r.agent.BaseURL != "" {
		put(SourceTemplate, r.template.baseURLEnv, r.agent.BaseURL)
	}
	for _, name := range r.template.placeholders {
		put(SourceTemplate, name, Placeholder)
	}
	for _, name := range slices.Sorted(maps.Keys(r.bottle.Env)) { // problems are told in this order
		own := r.ownEnv(name, r.bottle.Env[name])
		own.At = r.bottle.At("env." + name)
		all[name] = own
	}
	if p.Template == "demo" {
		r.demoEnv(p, d, put)
	}
	proxy := fmt.Sprintf("http://127.0.0.1:%d", PortFirewall)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		put(SourceBottle, name, proxy)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		put(SourceBottle, name, "127.0.0.1,localhost")
	}
	for _, name := range []string{"GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} {
		put(SourceBottle, name, guestapi.CABundle)
	}
	if p.Prompt.Guest != "" {
		put(SourceBottle, "BOTTLE_PROMPT_FILE", p.Prompt.Guest)
	}
	if len(p.Git.Remotes) > 0 {
		put(SourceBottle, "GIT_GATE_URL", fmt.Sprintf("http://127.0.0.1:%d", PortGitGate))
	}
	if p.Supervise {
		put(SourceBottle, "MCP_SUPERVISE_URL", fmt.Sprintf("http://127.0.0.1:%d", PortSupervise))
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Env) int { return cmp.Compare(a.Name, b.Name) })
}

// ownEnv is one variable of the manifest.
func (r *resolver) ownEnv(name string, value manifest.EnvValue) Env {
	field := fmt.Sprintf("bottles.%s.env.%s", r.bottle.Name, name)
	if slices.Contains(r.template.placeholders, name) {
		r.err.add(fmt.Sprintf("%s: template %s sets a placeholder here, because the agent never holds the credential", field, r.agent.Template),
			fmt.Sprintf(`give it to a route instead: auth = { header = "Authorization", scheme = "Bearer", token = "env:%s" }`, name))
	}
	switch value.Kind {
	case manifest.EnvHost:
		return Env{Name: name, Source: string(value.Kind), From: value.Text}
	case manifest.EnvPrompt:
		question := cmp.Or(value.Text, name)
		if !r.facts.TTY {
			r.err.add(fmt.Sprintf("%s: asks for %q, but there is no terminal to ask on", field, question),
				fmt.Sprintf("start it in a terminal, or take the value from the host: %s = \"${%s}\"", name, name))
		}
		return Env{Name: name, Source: string(value.Kind), From: question}
	}
	if looksSecret(name, value.Text) {
		r.warnings = append(r.warnings, fmt.Sprintf(
			"%s looks like a secret written into the manifest; take it from the host (\"${%s}\"), or give it to a route's auth so that the agent never sees it", field, name))
	}
	return Env{Name: name, Source: string(manifest.EnvLiteral), Value: value.Text}
}

var (
	secretName  = regexp.MustCompile(`(?i)(^|_)(token|secret|password|passwd|api_?key|private_?key|credentials?)(_|$)`)
	secretValue = regexp.MustCompile(`^(sk-|sk_live_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA[0-9A-Z]{16}|AIza|eyJ[A-Za-z0-9_-]{10,}\.|npm_|hf_|-----BEGIN )`)
	plainShell  = regexp.MustCompile(`^[A-Za-z0-9_./+-]+$`)
	inURL       = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@`)
)

// looksSecret is a warning's guess, not a guard.
func looksSecret(name, value string) bool {
	return secretValue.MatchString(value) || inURL.MatchString(value) || secretName.MatchString(name) && len(value) >= 8
}

func (r *resolver) checkHostEnv() {
	for _, name := range slices.Sorted(maps.Keys(r.bottle.Env)) {
		value := r.bottle.Env[name]
		if value.Kind == manifest.EnvHost && !r.facts.HostEnv[value.Text] {
			r.err.add(fmt.Sprintf("bottles.%s.env.%s: the host variable %s is not set", r.bottle.Name, name, value.Text),
				fmt.Sprintf("export %s=... && bottle start %s", value.Text, r.agent.Name))
		}
	}
}

// shellPath keeps a path in a hint usable in a shell.
func shellPath(path string) string {
	rest, home := strings.CutPrefix(path, "~/")
	if plainShell.MatchString(rest) {
		return path
	}
	quoted := "'" + strings.ReplaceAll(rest, "'", `'\''`) + "'"
	if home {
		return "~/" + quoted
	}
	return quoted
}
