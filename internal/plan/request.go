package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/nearest"
)

// Request is what the operator asked for.
type Request struct {
	Agent      string
	Identity   names.Identity // drawn before, so that resume keeps it
	CwdTrusted bool           // --trust-cwd
	Asks       bool           // the operator will be asked for a yes
	Terminal   bool           // the agent gets a terminal
	PromptMode PromptMode
}

// Facts is what Resolve has to know about the host. Values of variables and contents
// of files stay outside.
type Facts struct {
	VMTool         VMTool
	FirewallEngine string              // "builtin" or "pipelock"
	RecipeKey      string              // of the agent image with the tools of [Needs]; "" if not known
	ImageTools     []string            // what the recipe can install; nil skips the check
	HostEnv        map[string]bool     // host variables of [Needs] that are set
	Files          map[string]FileFact // by the path of [Needs]
	TTY            bool                // questions can be asked
	// Unseen: nobody looked at the host, so nothing of it is missing. Such a plan explains
	// rules; it is not one to launch.
	Unseen bool
}

// VMTool is the program that runs the VM.
type VMTool struct{ Name, Version, Note string }

// FileFact is what the host found at a path.
type FileFact struct {
	Exists  bool
	Dir     bool
	Mode    uint32 // permission bits
	Outside bool   // a symlink leads out of the root
}

// Needs is what the facts must cover for one agent.
type Needs struct {
	Env   []string // host variables, sorted
	Files []FileRef
	Tools []string // of the agent image
}

// FileRef is one path on the host that the manifest names.
type FileRef struct {
	Path string // may begin with ~/; relative ones are relative to the working directory
	Root string // directory that the path may not lead out of through symlinks; "" for none
}

// NeedsOf says which facts [Resolve] will look at. An unknown agent needs nothing:
// Resolve has the message for it.
func NeedsOf(set *manifest.Set, agent string) Needs {
	a, ok := set.Agents[agent]
	if !ok {
		return Needs{}
	}
	b := set.Bottles[a.Bottle]
	needs := Needs{Tools: templateOf(a.Template).tools}
	for _, value := range b.Env {
		if value.Kind == manifest.EnvHost {
			needs.Env = append(needs.Env, value.Text)
		}
	}
	for _, route := range b.Routes {
		if route.UpstreamCA != "" {
			needs.Files = append(needs.Files, FileRef{Path: hostPath(b.File, route.UpstreamCA)})
		}
		if route.Auth == nil {
			continue
		}
		switch token := route.Auth.Token; token.Kind {
		case manifest.TokenEnv:
			needs.Env = append(needs.Env, token.Name)
		case manifest.TokenFile:
			needs.Files = append(needs.Files, FileRef{Path: hostPath(b.File, token.Name)})
		}
	}
	for _, remote := range b.Remotes {
		if remote.IdentityFile != "" {
			needs.Files = append(needs.Files, FileRef{Path: hostPath(b.File, remote.IdentityFile)})
		}
	}
	for _, skill := range skillsOf(a) {
		needs.Files = append(needs.Files, FileRef{Path: skill.Dir, Root: skill.Root})
	}
	if prompt := promptOf(a); prompt.File != "" {
		needs.Files = append(needs.Files, FileRef{Path: prompt.File, Root: prompt.Root})
	}
	slices.Sort(needs.Env)
	needs.Env = slices.Compact(needs.Env)
	return needs
}

// Error is a refusal: each problem is a line, and each hint is something to type or to write.
type Error struct {
	Problems []string
	Hints    []string
}

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// HintLines says what to do next.
func (e *Error) HintLines() []string { return e.Hints }

func (e *Error) add(problem, hint string) {
	e.Problems = append(e.Problems, problem)
	if hint != "" && !slices.Contains(e.Hints, hint) {
		e.Hints = append(e.Hints, hint)
	}
}

// UnknownAgentError says that the manifest defines no agent of that name, or that none was named.
type UnknownAgentError struct {
	Asked string
	Known []string // at least one
	Hint  string   // what to type; whoever knows what was typed fills it in
}

func (e *UnknownAgentError) Error() string {
	known := strings.Join(e.Known, ", ")
	if e.Asked == "" {
		return "which agent? agents: " + known
	}
	return fmt.Sprintf("there is no agent %q; agents: %s", e.Asked, known)
}

// Likely is the agent that was meant, as far as anybody can tell.
func (e *UnknownAgentError) Likely() string { return cmp.Or(nearest.Of(e.Asked, e.Known), e.Known[0]) }

// HintLines says what to do next.
func (e *UnknownAgentError) HintLines() []string {
	return []string{cmp.Or(e.Hint, "bottle start "+e.Likely())}
}
