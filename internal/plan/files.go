package plan

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/manifest"
)

const defaultSkillsDir = "~/.claude/skills"

// hostPath gives a path that a manifest names its meaning: ~/ stays for the launcher to
// expand, anything relative starts at the manifest's directory.
func hostPath(manifestFile, text string) string {
	if rest, ok := strings.CutPrefix(text, "~/"); ok {
		return "~/" + path.Clean(rest)
	}
	if filepath.IsAbs(text) {
		return filepath.Clean(text)
	}
	return filepath.Join(filepath.Dir(manifestFile), text)
}

func skillsOf(a manifest.Agent) []Skill {
	root := defaultSkillsDir
	if a.SkillsDir != "" {
		root = hostPath(a.File, a.SkillsDir)
	}
	skills := []Skill{}
	for _, name := range a.Skills {
		skills = append(skills, Skill{Name: name, Dir: root + "/" + name, Root: root})
	}
	return skills
}

func promptOf(a manifest.Agent) Prompt {
	switch {
	case a.Prompt != "":
		return Prompt{Text: strings.TrimRight(a.Prompt, "\n") + "\n", Guest: guestapi.PromptFile}
	case a.PromptFile != "":
		prompt := Prompt{File: hostPath(a.File, a.PromptFile), Guest: guestapi.PromptFile}
		if a.FromCwd {
			prompt.Root = filepath.Dir(a.File)
		}
		return prompt
	}
	return Prompt{}
}

// files are the template's settings, for this bottle.
func (r *resolver) files(p Plan) []File {
	if r.template.files == nil {
		return []File{}
	}
	s := settings{workdir: p.Workdir, baseURL: r.agent.BaseURL}
	if p.Supervise {
		s.mcp = fmt.Sprintf("http://127.0.0.1:%d/mcp", PortSupervise)
	}
	return r.template.files(s)
}

func (r *resolver) checkTrust() {
	if r.agent.FromCwd && !r.request.CwdTrusted && !r.request.Asks {
		r.err.add(fmt.Sprintf("agent %s comes from %s, which is not your own manifest, and nobody is asked", r.agent.Name, r.agent.File),
			fmt.Sprintf("read %s, then type: bottle start %s --yes --trust-cwd", r.agent.File, r.agent.Name))
	}
}

func (r *resolver) checkTools() {
	if r.facts.ImageTools == nil {
		return
	}
	for _, tool := range r.template.tools {
		if !slices.Contains(r.facts.ImageTools, tool) {
			r.err.add(fmt.Sprintf("agents.%s: template %s needs the tool %q, which the image recipe does not have", r.agent.Name, r.agent.Template, tool),
				"add it to images/agent/image.toml")
		}
	}
}

// checkVM refuses two sizes that smolvm takes for "not set", so that the machine would
// silently get others.
func (r *resolver) checkVM(vm VM) {
	if vm.Tool != smolvm {
		return
	}
	const text = "bottles.%s.resources.%s: smolvm takes %s for \"not set\" and would use a size of its own"
	if vm.CPUs == smolvmCPUs {
		r.err.add(fmt.Sprintf(text, r.bottle.Name, "cpus", "4 processors"), fmt.Sprintf("write in [bottles.%s.resources]: cpus = 3, or cpus = 5", r.bottle.Name))
	}
	if vm.MemoryMiB == smolvmMemory {
		r.err.add(fmt.Sprintf(text, r.bottle.Name, "memory", "8192 MiB (8GiB)"), fmt.Sprintf("write in [bottles.%s.resources]: memory = \"8191MiB\", or \"9GiB\"", r.bottle.Name))
	}
}

// The tool's name, and what its command line defaults to.
const (
	smolvm       = "smolvm"
	smolvmCPUs   = 4
	smolvmMemory = 8192
)

// want says what must be found at a path.
type want struct {
	field, path, what string
	dir               bool
	hint              string
}

// checkFiles demands what the manifest names. A credential's file is only warned about:
// the launch asks for it again, and its route fails closed.
func (r *resolver) checkFiles(p Plan) {
	bottle := "bottles." + r.bottle.Name
	for i, remote := range p.Git.Remotes {
		if remote.Echo {
			continue
		}
		at := want{field: fmt.Sprintf("%s.git.remotes[%d].identity_file", bottle, i), path: remote.IdentityFile, what: "key"}
		at.hint = "make a deploy key: ssh-keygen -t ed25519 -N '' -f " + shellPath(remote.IdentityFile)
		r.check(at)
		if fact := r.facts.Files[remote.IdentityFile]; fact.Exists && fact.Mode&0o077 != 0 {
			r.warnings = append(r.warnings, fmt.Sprintf("%s is readable for others; type: chmod 600 %s", remote.IdentityFile, shellPath(remote.IdentityFile)))
		}
		if strings.HasPrefix(filepath.Base(remote.IdentityFile), "id_") {
			r.warnings = append(r.warnings, fmt.Sprintf("remote %s uses %s, your own key; a deploy key for this repository alone is safer", remote.Name, remote.IdentityFile))
		}
	}
	for _, route := range p.Egress {
		if route.UpstreamCA != "" {
			r.check(want{field: bottle + ".egress.routes: upstream_ca of " + route.Host, path: route.UpstreamCA, what: "certificate"})
		}
		r.checkToken(route)
	}
	for i, skill := range p.Skills {
		r.check(want{field: fmt.Sprintf("agents.%s.skills[%d]", r.agent.Name, i), path: skill.Dir, what: "skill", dir: true, hint: "ls " + shellPath(skill.Root)})
	}
	if p.Prompt.File != "" {
		r.check(want{field: fmt.Sprintf("agents.%s.prompt_file", r.agent.Name), path: p.Prompt.File, what: "prompt"})
	}
}

func (r *resolver) check(w want) {
	fact := r.facts.Files[w.path]
	hint := cmp.Or(w.hint, "ls -l "+shellPath(path.Dir(w.path)))
	switch {
	case fact.Outside:
		r.err.add(fmt.Sprintf("%s: the %s %s leads out of its directory through a symlink", w.field, w.what, w.path), hint)
	case !fact.Exists:
		r.err.add(fmt.Sprintf("%s: the %s %s does not exist", w.field, w.what, w.path), hint)
	case fact.Dir && !w.dir:
		r.err.add(fmt.Sprintf("%s: the %s %s is a directory, not a file", w.field, w.what, w.path), hint)
	case !fact.Dir && w.dir:
		r.err.add(fmt.Sprintf("%s: the %s %s is a file, not a directory", w.field, w.what, w.path), hint)
	}
}

func (r *resolver) checkToken(route Route) {
	if route.Auth == nil {
		return
	}
	missing := route.Auth.Source == "env" && !r.facts.HostEnv[route.Auth.Name] ||
		route.Auth.Source == "file" && !r.facts.Files[route.Auth.Name].Exists
	if missing {
		r.warnings = append(r.warnings, fmt.Sprintf("%s has no credential: %s is not there, so egress will answer 502", route.Host, *route.Auth))
	}
}
