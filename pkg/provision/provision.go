// Package provision puts what an agent needs into its machine: certificates, prompt,
// skills, git settings, the supervise server's address, the environment.
//
// It keeps these invariants:
//   - [Render] is pure but for reading the skills' files: same input, same bytes.
//   - [Apply] sends one tar to one command, whatever the number of files. Its first entry
//     says what to do beside unpacking; no shell and no other program takes part.
//   - A value of the environment is in the tar stream and nowhere else: not in a
//     command, not in an error, not in what fmt or encoding/json make of these types.
//   - Applying twice gives the same machine, ready only after the last change; a failure
//     names the step.
package provision

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Where things go in the guest.
const (
	envFile    = "/run/bottle/env"
	agentHome  = "/home/agent"
	mcpFile    = agentHome + "/.bottle/mcp.json"
	gitConfig  = "/etc/gitconfig"
	caDir      = "/usr/local/share/ca-certificates"
	agentOwner = 1000 // uid and gid
	program    = "/usr/local/bin/bottle-guest"
)

// MCPFile tells an agent program where its MCP servers are (claude --mcp-config).
const MCPFile = mcpFile

// File is one file or directory in the guest. Data is shown by neither fmt nor JSON.
type File struct {
	Path     string      // absolute and clean
	Mode     fs.FileMode // permissions, and fs.ModeDir for a directory
	UID, GID int
	Data     []byte `json:"-"`
}

// Format implements [fmt.Formatter].
func (f File) Format(state fmt.State, _ rune) {
	fmt.Fprintf(state, "%s %d:%d %d %s", f.Mode, f.UID, f.GID, len(f.Data), f.Path)
}

// Rendered is everything that Apply does, in this order.
type Rendered struct {
	Remove  []string      // trees that are removed before the files are unpacked
	Files   []File        // sorted, parents included
	Trust   []Certificate // what the system trusts then; ours of earlier launches are forgotten
	Workdir string        // made for the agent if it does not exist; empty: none
}

// Certificate is one of Files that the whole system is to trust.
type Certificate struct {
	File string
	Hash string // OpenSSL's name for its subject
}

// Input is what there is to provision.
type Input struct {
	Program   []byte   // in place of the machine's bottle-guest; empty: that stays
	CAs       [][]byte // PEM, one or more certificates each
	Prompt    Prompt
	Settings  []Setting // of the agent program
	Skills    []Skill
	SkillsDir string // in the guest; empty: ~/.claude/skills
	Git       Git
	Supervise string // URL of the MCP server; empty: none
	Env       []Variable
	Workdir   string // empty: ~/work
}

// Prompt is what the agent is told first. The file exists even when the text is empty.
type Prompt struct {
	Path string // in the guest; empty: ~/.bottle/prompt.md
	Text []byte
}

// Setting is a text file of the agent's, mode 0600.
type Setting struct {
	Path string
	Data []byte
}

// Skill is a directory of regular files. The guest's copy is replaced.
type Skill struct {
	Name string
	FS   fs.FS
}

// step is what one renderer made.
type step struct {
	remove  []string
	files   []File
	trust   []Certificate
	workdir string
}

// Render renders all steps.
func Render(in Input) (Rendered, error) {
	renderers := []struct {
		name   string
		render func(Input) (step, error)
	}{
		{"program", renderProgram},
		{"ca", renderCA},
		{"prompt", renderPrompt},
		{"skills", renderSkills},
		{"git", renderGit},
		{"supervise", renderSupervise},
		{"env", renderEnv},
		{"workdir", renderWorkdir},
	}
	var out Rendered
	for _, r := range renderers {
		s, err := r.render(in)
		if err == nil {
			_, err = complete(s.files)
		}
		if err != nil {
			return Rendered{}, fmt.Errorf("provisioning %s: %w", r.name, err)
		}
		out.Remove = append(out.Remove, s.remove...)
		out.Files = append(out.Files, s.files...)
		out.Trust = append(out.Trust, s.trust...)
		if s.workdir != "" {
			out.Workdir = s.workdir
		}
	}
	files, err := complete(out.Files)
	if err != nil {
		return Rendered{}, fmt.Errorf("provisioning: %w", err)
	}
	out.Files = files
	return out, nil
}

// agentFile is a file that belongs to the agent.
func agentFile(name string, data []byte) File {
	return File{Path: name, Mode: 0o600, UID: agentOwner, GID: agentOwner, Data: data}
}

// isAgents reports whether a path lies in the agent's home.
func isAgents(name string) bool { return strings.HasPrefix(name, agentHome+"/") }

// orDefault joins a directory of the agent's with the way callers leave it empty.
func orDefault(name, inHome string) string {
	if name == "" {
		return path.Join(agentHome, inHome)
	}
	return name
}
