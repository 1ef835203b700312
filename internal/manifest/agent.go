package manifest

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/names"
	"bottle.internal/internal/nearest"
)

var workdirPattern = regexp.MustCompile(`^` + guestapi.AgentHome + `(/[A-Za-z0-9_.+-]+)+$`)

const maxPrompt = 64 << 10

// rawAgent is an agent before it is checked against the bottles.
type rawAgent struct {
	Agent

	bottleAt place
}

// readAgent reads one [agents.X].
func readAgent(t *table, name string, fromCwd bool) *rawAgent {
	a := &rawAgent{bottleAt: t.at("bottle")}
	a.Name, a.File, a.FromCwd, a.at = name, t.src.path, fromCwd, t.place
	if err := names.Validate(name); err != nil {
		t.place.bad("%v", err)
	}
	a.Bottle, _ = t.required("bottle", `bottle = "NAME", one of [bottles.NAME]`)
	known := strings.Join(Templates(), ", ")
	if template, ok := t.required("template", "one of "+known); ok {
		a.Template = template
		if !slices.Contains(Templates(), template) {
			t.bad("template", "unknown template %q%s", template, suggest(template, Templates(), "templates"))
		}
	}
	readCommand(t, a)
	readPrompt(t, a)
	a.Skills = t.texts("skills", `["review"]`, func(at place, text string) (string, bool) {
		if err := names.Validate(text); err != nil {
			at.bad("%v", err)
			return "", false
		}
		return text, true
	})
	a.SkillsDir, _ = t.text("skills_dir")
	if fromCwd && a.SkillsDir != "" {
		t.bad("skills_dir", "an agent of the working directory may not choose it: it could hand any directory of yours to the agent")
	}
	if a.Workdir, _ = t.text("workdir"); a.Workdir != "" {
		if path.Clean(a.Workdir) != a.Workdir || !workdirPattern.MatchString(a.Workdir) || len(a.Workdir) > 200 {
			t.bad("workdir", "%q must be a plain path below %s, such as %s", a.Workdir, guestapi.AgentHome, guestapi.AgentWorkdir)
		}
	}
	a.BaseURL = readBaseURL(t)
	t.done()
	return a
}

func readCommand(t *table, a *rawAgent) {
	items := t.list("command", `["claude", "--model", "opus"]`)
	if items != nil && len(items) == 0 {
		t.bad("command", "is an empty list; leave it out for the template's command")
	}
	for i, item := range items {
		text, ok := item.v.(string)
		switch {
		case !ok:
			item.bad("must be a string, not %s", kindOf(item.v))
		case text == "" && i == 0:
			item.bad("is empty; the first word is the program")
		case strings.ContainsRune(text, 0):
			item.bad("must not contain a NUL byte")
		}
		a.Command = append(a.Command, text)
	}
}

func readPrompt(t *table, a *rawAgent) {
	a.Prompt, _ = t.text("prompt")
	a.PromptFile, _ = t.text("prompt_file")
	if t.has("prompt") && t.has("prompt_file") {
		t.bad("prompt_file", "there is a prompt too; keep one of the two")
	}
	if len(a.Prompt) > maxPrompt {
		t.bad("prompt", "is longer than 64 KiB; use prompt_file")
	}
	// A leading ~ is a home directory to whoever opens the file.
	if a.FromCwd && a.PromptFile != "" && (!filepath.IsLocal(a.PromptFile) || a.PromptFile[0] == '~') {
		t.bad("prompt_file", "%q leaves the working directory; an agent that came with it may only name files in it", a.PromptFile)
	}
}

// suggest ends a message about an unknown name. Names that are problems themselves are
// not repeated.
func suggest(name string, known []string, what string) string {
	known = slices.DeleteFunc(slices.Clone(known), func(name string) bool { return names.Validate(name) != nil })
	if near := nearest.Of(name, known); near != "" {
		return `; did you mean "` + near + `"?`
	}
	if len(known) == 0 {
		return "; there are no " + what
	}
	return "; known " + what + ": " + strings.Join(known, ", ")
}
