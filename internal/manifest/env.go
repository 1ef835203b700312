package manifest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

const maxEnvValue = 32 << 10

var hostValuePattern = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}$`)

// readEnv reads the variables of a bottle.
func readEnv(t *table) map[string]EnvValue {
	if t == nil {
		return nil
	}
	env := make(map[string]EnvValue, len(t.values))
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		text, ok := read[string](t, name, "a string")
		switch {
		case !envPattern.MatchString(name):
			t.bad(name, "is not the name of a variable: letters, digits and _ only, at most 128")
		case isManagedEnv(name):
			t.bad(name, "is set by bottle itself and cannot be changed")
		case !ok:
		case len(text) > maxEnvValue:
			t.bad(name, "is longer than 32 KiB")
		case strings.ContainsRune(text, 0):
			t.bad(name, "must not contain a NUL byte")
		default:
			env[name] = envValue(t.at(name), text)
		}
	}
	return env
}

func envValue(at place, text string) EnvValue {
	if host := hostValuePattern.FindStringSubmatch(text); host != nil {
		return EnvValue{Kind: EnvHost, Text: host[1]}
	}
	if question, ok := strings.CutPrefix(text, "?"); ok {
		return EnvValue{Kind: EnvPrompt, Text: strings.TrimSpace(question)}
	}
	if strings.Contains(text, "${") {
		at.bad(`only a whole value is taken from the host: "${NAME}" with nothing around it`)
	}
	return EnvValue{Kind: EnvLiteral, Text: text}
}

// isManagedEnv reports the variables that carry the boundary: a bottle that changed one
// would have an agent that cannot reach its proxy, or does not know its own home.
func isManagedEnv(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
		return true
	}
	switch name {
	case "HOME", "USER", "LOGNAME", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
		"GIT_SSL_CAINFO", "GIT_GATE_URL", "MCP_SUPERVISE_URL":
		return true
	}
	return strings.HasPrefix(name, "BOTTLE_")
}
