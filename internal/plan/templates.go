package plan

import (
	"fmt"
	"strconv"
	"strings"

	"bottle.internal/internal/guest"
)

// The table of templates: how each agent program is run without asking, told its prompt,
// and kept from phoning home. To add one:
//
//  1. add its npm tarball to images/agent/image.toml as a tool;
//  2. add a case below, with that tool, its flags, state directories and variables;
//  3. add its name to manifest.Templates;
//  4. run `go test ./internal/plan -update` and read the new golden.

// template is one kind of agent program.
type template struct {
	command      []string          // program and flags for unattended work
	promptArgs   []string          // added to command when there is a prompt
	promptCopy   string            // where the program looks for instructions by itself
	tools        []string          // of the agent image
	stateDirs    []string          // what the program keeps between runs
	env          map[string]string // settings; the manifest may override them
	placeholders []string          // credential variables without which the program does not start
	files        []File            // first-run settings; WORKDIR becomes the quoted working directory
	memoryMiB    int
	cpus         int
}

const diskGiB = 10

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
		return template{command: []string{"bottle-demo"}, memoryMiB: 512, cpus: 1}
	}
	return template{command: []string{"/bin/bash", "-l"}, memoryMiB: 1024, cpus: 2}
}

func claude() template {
	return template{
		command:    []string{"claude", "--dangerously-skip-permissions"},
		promptArgs: []string{"--append-system-prompt-file", guest.PromptFile},
		tools:      []string{"claude"},
		stateDirs:  []string{guest.AgentHome + "/.claude"},
		env: map[string]string{
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
			"DISABLE_AUTOUPDATER":                      "1",
			"DISABLE_ERROR_REPORTING":                  "1",
			"DISABLE_TELEMETRY":                        "1",
		},
		placeholders: []string{"CLAUDE_CODE_OAUTH_TOKEN"},
		// Without this the first run asks for a theme and for trust, and exits when
		// platform.claude.com does not answer.
		files: []File{{
			Path: guest.AgentHome + "/.claude.json",
			Text: `{"hasCompletedOnboarding":true,"theme":"dark","projects":{WORKDIR:{"hasTrustDialogAccepted":true}}}` + "\n",
		}},
		memoryMiB: 2048, cpus: 2,
	}
}

func codex() template {
	dir := guest.AgentHome + "/.codex"
	return template{
		command:      []string{"codex", "--dangerously-bypass-approvals-and-sandbox"},
		promptCopy:   dir + "/AGENTS.md",
		tools:        []string{"codex"},
		stateDirs:    []string{dir},
		placeholders: []string{"OPENAI_API_KEY"},
		files: []File{
			{Path: dir + "/auth.json", Text: fmt.Sprintf("{\"OPENAI_API_KEY\":%q}\n", Placeholder)},
			{Path: dir + "/config.toml", Text: "check_for_update_on_startup = false\n\n[analytics]\nenabled = false\n\n" +
				"[projects.WORKDIR]\ntrust_level = \"trusted\"\n"},
		},
		memoryMiB: 2048, cpus: 2,
	}
}

func opencode() template {
	return template{
		command:      []string{"opencode", "--auto"},
		tools:        []string{"opencode"},
		stateDirs:    []string{guest.AgentHome + "/.local/share/opencode", guest.AgentHome + "/.config/opencode"},
		env:          map[string]string{"OPENCODE_DISABLE_AUTOUPDATE": "1"},
		placeholders: []string{"ANTHROPIC_API_KEY"},
		files: []File{{
			Path: guest.AgentHome + "/.config/opencode/opencode.json",
			Text: fmt.Sprintf(`{"autoupdate":false,"share":"disabled","permission":"allow","instructions":[%q]}`+"\n", guest.PromptFile),
		}},
		memoryMiB: 2048, cpus: 2,
	}
}

// filesFor fills the working directory into the settings files. JSON and TOML quote plain
// paths alike, and manifest.Load lets no other kind of working directory pass.
func (t template) filesFor(workdir string) []File {
	files := []File{}
	for _, file := range t.files {
		file.Text = strings.ReplaceAll(file.Text, "WORKDIR", strconv.Quote(workdir))
		files = append(files, file)
	}
	return files
}
