// Package manifest reads bottle.toml: bottles (what an agent may reach, with which
// credentials) and agents (what runs in a bottle).
//
// It keeps these invariants:
//   - One [Load] reports every problem, each with file, line and field, in the order of the files.
//   - Unknown keys, wrong types and empty tables are problems, never ignored.
//   - Bottles come from the user's own file only: a cloned repository can name a
//     bottle, but cannot widen one.
//   - A [Set] is normalised (lower-case A-label hosts, explicit ports, inheritance done),
//     so that the same files give the same Set. It holds no secret, only where one is found.
package manifest

import (
	"maps"
	"slices"
)

// Set is everything that the manifests define.
type Set struct {
	UserPath string // as given in [Sources]
	CwdPath  string // "" without a manifest in the working directory
	Bottles  map[string]Bottle
	Agents   map[string]Agent
}

// AgentNames lists the agents in order.
func (s *Set) AgentNames() []string { return slices.Sorted(maps.Keys(s.Agents)) }

// Agent is what runs, and in which bottle.
type Agent struct {
	Name       string
	Bottle     string
	Template   string   // one of [Templates]
	Command    []string // empty: the template's
	Skills     []string // names of directories under SkillsDir
	SkillsDir  string   // "" means ~/.claude/skills
	Prompt     string
	PromptFile string // as written; relative to the directory of File
	Workdir    string // absolute guest path, "" means the default
	BaseURL    string // of the model's API, without a slash at the end; "" means the provider's own
	File       string // the manifest that defines it
	FromCwd    bool   // it came with the working directory, so it is not trusted

	at place
}

// Bottle is a set of powers, with everything inherited through extends merged in.
type Bottle struct {
	Name           string
	Env            map[string]EnvValue
	Resources      Resources
	Supervise      bool
	AllowCwdAgents bool
	OnCanary       string // "", "cut" or "warn"; "" was not set
	Echo           []string
	Model          string // the echo name that plays a model's API; "" means none
	Routes         []Route
	Remotes        []Remote
	GitUser        *GitUser
	File           string

	at      place
	written map[string]place // by key: what is inherited keeps the place of its own
	// The bottles that list the routes and the remotes: this one, or one that it extends.
	routesIn, remotesIn string
}

// EnvKind says where the value of a variable comes from.
type EnvKind string

// The kinds of variable.
const (
	EnvLiteral EnvKind = "literal" // written in the manifest
	EnvHost    EnvKind = "host"    // ${NAME}: taken from the host
	EnvPrompt  EnvKind = "prompt"  // ?question: asked on the terminal
)

// EnvValue is one variable of the guest. Text is the literal, the host variable's
// name, or the question.
type EnvValue struct {
	Kind EnvKind
	Text string
}

// Resources of the VM. Zero means the template's default.
type Resources struct {
	MemoryMiB int
	CPUs      int
	DiskGiB   int
}

// Route is one host that the bottle may reach.
type Route struct {
	Host            string // lower-case A-labels
	Port            int
	Scheme          string // "https" or "http"
	Methods         []string
	Paths           []string
	Auth            *Auth
	Private         bool     // address = "private"
	AllowPrivate    []string // canonical CIDRs
	WebSocket       bool
	PassHeaders     []string
	AllowMint       bool
	BypassesGitGate bool
	UpstreamCA      string // PEM file, relative to the directory of the bottle's File

	at place
}

// Routed reports whether the route goes through egress. A plain one (no auth, methods
// or paths) is only allowlisted and spliced by the firewall.
func (r Route) Routed() bool { return r.Auth != nil || r.Methods != nil || r.Paths != nil }

// Auth is the credential that egress puts into the requests of a route.
type Auth struct {
	Header string
	Scheme string // "" sends the token alone
	Token  Token
}

// TokenKind says where a token is found.
type TokenKind string

// The kinds of token source.
const (
	TokenEnv  TokenKind = "env"
	TokenFile TokenKind = "file"
	TokenCmd  TokenKind = "cmd"
)

// Token is where a credential is found; never the credential.
type Token struct {
	Kind TokenKind
	Name string   // variable or file
	Cmd  []string // program and arguments, run on the host
}

// Remote is one git repository behind the git gate.
type Remote struct {
	Name         string
	Upstream     Upstream
	IdentityFile string // "" for an echo name: the launch makes the keys
	KnownHostKey string
	Private      bool     // address = "private"
	AllowPrivate []string // canonical CIDRs
	Push         Push

	at   place // its name
	head place // its table
}

// Upstream is the parsed ssh:// URL of a remote.
type Upstream struct {
	User string
	Host string
	Port int
	Path string // with its leading slash
}

// Push says what may be pushed. Branches may hold the placeholder <identity>.
type Push struct {
	Branches []string // nil: bottle/<identity>/*
	Approve  bool
	Protect  []string // paths whose change needs approval; nil: [ProtectedPaths]
}

// GitUser is who the agent's commits are by.
type GitUser struct{ Name, Email string }

// Templates lists the agents that this version knows how to run.
func Templates() []string { return []string{"claude", "codex", "demo", "opencode", "shell"} }

// ProtectedPaths are the files that make a CI system run something: a push that
// changes one could send secrets out from there.
func ProtectedPaths() []string {
	return []string{
		".github/workflows/**", ".github/actions/**", ".gitlab-ci.yml", ".circleci/**",
		"azure-pipelines*.yml", "Jenkinsfile", ".buildkite/**", ".woodpecker*", ".gitmodules",
	}
}
