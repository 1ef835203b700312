// Package npm fetches pinned tarballs from an npm registry and turns the files that a
// recipe names into an image layer. It runs no script of a package and needs no Node.
//
// Which registry is the user's choice and never ours: the environment, .npmrc, or what
// npm itself says. What arrives is used only if it has the pinned sha512, so a registry
// can withhold a package but not change it.
package npm

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
)

// ErrNoRegistry means that nothing names a registry.
var ErrNoRegistry = errors.New("no npm registry is named")

const noRegistryHint = "set NPM_CONFIG_REGISTRY=https://..., or write registry=https://... into ~/.npmrc"

// Format implements [fmt.Formatter]: fmt would print the unexported fields, secrets
// and passwords in addresses included.
func (s Settings) Format(f fmt.State, _ rune) { fmt.Fprint(f, "npm settings "+secret.Redacted) }

// Host is where the user's settings are looked for.
type Host struct {
	Env  []string // the environment: NPM_CONFIG_*, PATH for npm itself
	Dir  string   // the project: its .npmrc
	Home string   // its .npmrc, unless NPM_CONFIG_USERCONFIG names another file
}

// Settings says where packages come from and what opens the door there.
type Settings struct {
	values   map[string]string // registry and @scope:registry
	auth     map[string]secret.Value
	Warnings []string // for people
}

// Load reads the settings as npm would: environment, project, user, then `npm config`.
// A project's .npmrc may have come with a cloned repository. It can name a registry,
// which integrity makes harmless, but its credentials are not filled from the
// environment: that would let a repository choose who receives a token.
func Load(ctx context.Context, host Host) (*Settings, error) {
	s := &Settings{values: map[string]string{}, auth: map[string]secret.Value{}}
	env := environment(host.Env)
	user := env["npm_config_userconfig"]
	if user == "" {
		user = filepath.Join(host.Home, ".npmrc")
	}
	for key, value := range env {
		if name, ok := strings.CutPrefix(key, "npm_config_"); ok {
			s.set(name, value)
		}
	}
	project := filepath.Join(host.Dir, ".npmrc")
	if project != user {
		if err := s.read(project, nil); err != nil {
			return nil, err
		}
	}
	if err := s.read(user, env); err != nil {
		return nil, err
	}
	if s.values["registry"] == "" {
		s.values["registry"] = askNpm(ctx, host)
	}
	return s, nil
}

// environment is the environment with npm's own variables in lower case, as npm treats
// them; all others keep their case for ${NAME}.
func environment(lines []string) map[string]string {
	env := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "npm_config_") {
			name = lower
		}
		env[name] = value
	}
	return env
}

// read adds the settings of one file that are not set yet. A nil env means that the
// file may not use ${NAME}.
func (s *Settings) read(path string, env map[string]string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading npm's settings: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
			continue
		}
		if strings.Contains(value, "${") && env == nil {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s:%d: ignored: a project's .npmrc may not use the environment; put the line into ~/.npmrc", path, number))
			continue
		}
		s.set(key, expand(value, env))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// set keeps the first value of a key: earlier sources win.
func (s *Settings) set(key, value string) {
	switch {
	case strings.HasPrefix(key, "//"):
		if _, known := s.auth[key]; !known {
			s.auth[key] = secret.New(value)
		}
	case key == "registry" || strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry"):
		if s.values[key] == "" {
			s.values[key] = value
		}
	}
}

// expand replaces ${NAME}; an unknown name stays as it is, as npm has it.
func expand(value string, env map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(value, "${")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if known, ok := env[name]; ok && closed {
			out.WriteString(known)
		} else {
			out.WriteString("${" + name)
			if closed {
				out.WriteString("}")
			}
		}
		value = after
	}
}

// askNpm returns what npm itself would use, or nothing if there is no npm.
func askNpm(ctx context.Context, host Host) string {
	tool, err := execx.Find("npm")
	if err != nil {
		return ""
	}
	out, err := execx.Output(ctx, execx.Cmd{Path: tool, Args: []string{"config", "get", "registry"}, Env: host.Env, Dir: host.Dir})
	if answer := strings.TrimSpace(string(out)); err == nil && answer != "undefined" {
		return answer
	}
	return ""
}

// Registry returns the base address for a package, with a slash at its end.
func (s *Settings) Registry(name string) (*url.URL, error) {
	text := s.values["registry"]
	if scope, _, scoped := strings.Cut(name, "/"); scoped && s.values[scope+":registry"] != "" {
		text = s.values[scope+":registry"]
	}
	if text == "" {
		return nil, fmt.Errorf("%w\n%s", ErrNoRegistry, noRegistryHint)
	}
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || (address.Scheme != "https" && address.Scheme != "http") {
		// The text itself may hold a password, so it is not shown.
		return nil, fmt.Errorf("the npm registry for %s is not an http or https address\n%s", name, noRegistryHint)
	}
	address.Path = strings.TrimSuffix(address.Path, "/") + "/"
	return address, nil
}

// authorize adds the credential of the longest //host/path/ that the request is under.
func (s *Settings) authorize(request *http.Request) {
	for place := "//" + request.URL.Host + request.URL.EscapedPath(); place != "//"; place = parent(place) {
		if header := s.header(place); header != "" {
			request.Header.Set("Authorization", header)
			return
		}
	}
}

func parent(place string) string {
	place = strings.TrimSuffix(place, "/")
	return place[:strings.LastIndexByte(place, '/')+1]
}

func (s *Settings) header(place string) string {
	get := func(key string) string { return s.auth[place+":"+key].Reveal() }
	if token := get("_authToken"); token != "" {
		return "Bearer " + token
	}
	if basic := get("_auth"); basic != "" {
		return "Basic " + basic
	}
	password, err := base64.StdEncoding.DecodeString(get("_password"))
	if user := get("username"); user != "" && err == nil {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+string(password)))
	}
	return ""
}
