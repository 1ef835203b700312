package plan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"bottle.internal/internal/guestapi"
)

// The table of templates: how each agent program is run without asking, told its prompt,
// given the supervise tools and kept from phoning home. docs/templates.md says how to add one.

// template is one kind of agent program.
type template struct {
	interactive []string          // program and flags on a terminal
	batch       []string          // without one: work on the prompt, then end; nil: the same
	prompt      promptArg         // how interactive is told the prompt; batch is always told by "--"
	tools       []string          // of the agent image
	stateDirs   []string          // what the program keeps between runs
	env         map[string]string // settings; the manifest may override them
	// placeholders are credential variables without which the program does not start. With
	// keyPlaceholders, those replace them where the API's route wants an x-api-key header.
	placeholders    []string
	keyPlaceholders []string
	takesBaseURL    bool
	baseURLEnv      string                // the variable for base_url; "" if files have it
	basePath        string                // of the API, as this program's base URLs end
	files           func(settings) []File // first-run settings
	routes          []Suggestion          // what `bottle init` writes
	memoryMiB       int
	cpus            int
}

// settings are what a template's files depend on.
type settings struct {
	workdir string
	mcp     string // URL of the supervise tools; "" without
	baseURL string // of the model's API; "" for the provider's own
}

// Suggestion is a route that an agent program needs for its work, and where its credential
// usually is on the host.
type Suggestion struct {
	Host     string
	Methods  []string
	Paths    []string
	Header   string
	Scheme   string
	TokenEnv string
	HowToGet string // the token, in a few words
}

// BasePath is how a base_url for a template usually ends.
func BasePath(name string) string { return templateOf(name).basePath }

// Suggestions are the routes that a template needs; none for those without a model.
func Suggestions(name string) []Suggestion { return templateOf(name).routes }

const (
	diskGiB = 10
	on      = "1" // in an environment
)

// templateOf returns the row of the table; an unknown name is the shell.
func templateOf(name string) template {
	switch name {
	case "claude":
		return claude()
	case "codex":
		return codex()
	case "opencode":
		return opencode()
	case "demo":
		return template{interactive: []string{"bottle-demo"}, memoryMiB: 512, cpus: 1}
	}
	return template{interactive: []string{"/bin/bash", "-l"}, memoryMiB: 1024, cpus: 2}
}

func claude() template {
	return template{
		interactive: []string{"claude", "--dangerously-skip-permissions"},
		batch:       []string{"claude", "--dangerously-skip-permissions", "--print"},
		prompt:      promptPositional,
		tools:       []string{"claude"},
		stateDirs:   []string{guestapi.AgentHome + "/.claude"},
		env: map[string]string{
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC":             on,
			"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": on,
			"DISABLE_AUTOUPDATER":                                  on,
			"DISABLE_ERROR_REPORTING":                              on,
			"DISABLE_TELEMETRY":                                    on,
		},
		placeholders:    []string{"CLAUDE_CODE_OAUTH_TOKEN"},
		keyPlaceholders: []string{"ANTHROPIC_API_KEY"},
		takesBaseURL:    true, baseURLEnv: "ANTHROPIC_BASE_URL",
		files: claudeFiles,
		routes: []Suggestion{{
			Host: "api.anthropic.com", Methods: []string{"GET", "POST"}, Paths: []string{"/v1/", "/api/"},
			Header: "Authorization", Scheme: "Bearer", TokenEnv: "CLAUDE_CODE_OAUTH_TOKEN", HowToGet: "claude setup-token",
		}},
		memoryMiB: 2048, cpus: 2,
	}
}

// claudeFiles: without onboarding the first run asks for a theme and for trust, and exits when
// platform.claude.com does not answer. alwaysLoad shows the model the supervise tools at once,
// instead of their names behind a search.
func claudeFiles(s settings) []File {
	type server struct {
		Type       string `json:"type"`
		URL        string `json:"url"`
		AlwaysLoad bool   `json:"alwaysLoad"`
	}
	type project struct {
		Trusted bool `json:"hasTrustDialogAccepted"`
	}
	state := struct {
		Onboarded bool                `json:"hasCompletedOnboarding"`
		Theme     string              `json:"theme"`
		Keys      map[string][]string `json:"customApiKeyResponses"` // a placeholder in ANTHROPIC_API_KEY is asked about otherwise
		Projects  map[string]project  `json:"projects"`
		Servers   map[string]server   `json:"mcpServers,omitempty"`
	}{
		Onboarded: true, Theme: "dark", Keys: map[string][]string{"approved": {Placeholder}, "rejected": {}},
		Projects: map[string]project{s.workdir: {Trusted: true}},
	}
	if s.mcp != "" {
		state.Servers = map[string]server{"bottle": {Type: "http", URL: s.mcp, AlwaysLoad: true}}
	}
	return []File{
		jsonFile(guestapi.AgentHome+"/.claude.json", state),
		jsonFile(guestapi.AgentHome+"/.claude/settings.json", map[string]bool{"skipDangerousModePermissionPrompt": true}),
	}
}

func codex() template {
	dir := guestapi.AgentHome + "/.codex"
	return template{
		interactive:  []string{"codex", "--dangerously-bypass-approvals-and-sandbox"},
		batch:        []string{"codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"},
		prompt:       promptPositional,
		tools:        []string{"codex"},
		stateDirs:    []string{dir},
		placeholders: []string{"OPENAI_API_KEY"},
		takesBaseURL: true, basePath: "/v1",
		files: func(s settings) []File { return []File{{Path: dir + "/config.toml", Text: codexConfig(s)}} },
		routes: []Suggestion{{
			Host: "api.openai.com", Methods: []string{"GET", "POST"}, Paths: []string{"/v1/"},
			Header: "Authorization", Scheme: "Bearer", TokenEnv: "OPENAI_API_KEY", HowToGet: "a key of platform.openai.com",
		}},
		memoryMiB: 2048, cpus: 2,
	}
}

// codexConfig names a provider of its own: with the built-in one codex asks chatgpt.com for a
// list of models, and tries WebSocket connections for six seconds before it falls back.
// Plugins are fetched from github.com.
func codexConfig(s settings) string {
	baseURL := s.baseURL
	if baseURL == "" {
		baseURL = "https://api.openai.com/v1"
	}
	var text strings.Builder
	fmt.Fprintf(&text, `check_for_update_on_startup = false
model_provider = "bottle"

[model_providers.bottle]
name = "OpenAI, through bottle"
base_url = %s
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = false

[analytics]
enabled = false

[features]
plugins = false

[projects.%s]
trust_level = "trusted"
`, strconv.Quote(baseURL), strconv.Quote(s.workdir))
	if s.mcp != "" {
		fmt.Fprintf(&text, "\n[mcp_servers.bottle]\nurl = %s\nstartup_timeout_sec = 60\n", strconv.Quote(s.mcp))
	}
	return text.String()
}

func opencode() template {
	config := guestapi.AgentHome + "/.config/opencode"
	return template{
		interactive: []string{"opencode", "--auto"},
		batch:       []string{"opencode", "run", "--auto"},
		prompt:      promptFlag,
		tools:       []string{"opencode"},
		stateDirs:   []string{guestapi.AgentHome + "/.local/share/opencode", config},
		env: map[string]string{
			"OPENCODE_DISABLE_AUTOUPDATE":      on,
			"OPENCODE_DISABLE_DEFAULT_PLUGINS": on,
			"OPENCODE_DISABLE_LSP_DOWNLOAD":    on,
			"OPENCODE_DISABLE_MODELS_FETCH":    on,
			"OPENCODE_DISABLE_SHARE":           on,
		},
		placeholders: []string{"ANTHROPIC_API_KEY"},
		takesBaseURL: true, basePath: "/v1",
		files: func(s settings) []File { return []File{jsonFile(config+"/opencode.json", opencodeConfig(s))} },
		routes: []Suggestion{{
			Host: "api.anthropic.com", Methods: []string{"GET", "POST"}, Paths: []string{"/v1/"},
			Header: "x-api-key", TokenEnv: "ANTHROPIC_API_KEY", HowToGet: "a key of console.anthropic.com",
		}},
		memoryMiB: 2048, cpus: 2,
	}
}

func opencodeConfig(s settings) any {
	config := map[string]any{"autoupdate": false, "share": "disabled", "permission": "allow"}
	if s.mcp != "" {
		config["mcp"] = map[string]any{"bottle": map[string]any{"type": "remote", "url": s.mcp, "enabled": true, "oauth": false}}
	}
	if s.baseURL != "" {
		config["provider"] = map[string]any{"anthropic": map[string]any{"options": map[string]string{"baseURL": s.baseURL}}}
	}
	return config
}

// jsonFile is of maps, texts and truth values, which always encode.
func jsonFile(path string, value any) File {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("{}")
	}
	return File{Path: path, Text: string(text) + "\n"}
}
