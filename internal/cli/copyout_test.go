package cli

import (
	"bytes"
	"strings"
	"testing"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/transfer"
)

// What makes a program run something is asked for apart, whatever was said to the rest.
func TestTwoQuestions(t *testing.T) {
	t.Parallel()
	file := workspace.State{Kind: workspace.File}
	plain := changes.Change{Path: "main.go", New: file}
	hook := changes.Change{Path: ".husky/pre-commit", New: file, Sensitive: ".husky/"}
	refused := changes.Change{Path: "out", New: file, Refused: "a link that leads out of the directory"}
	first, second := "Apply 1 changes to /p? [y/N] ", "  .husky/pre-commit (.husky/)\nThese 1 can make programs of this machine run something. Apply them too? [y/N] "
	for _, test := range []struct {
		name      string
		changes   []changes.Change
		typed     string
		asked     string
		sensitive bool
		err       string
	}{
		{"yes, yes", []changes.Change{plain, hook}, "y\nYES\n", first + second, true, ""},
		{"yes, no", []changes.Change{plain, hook}, "yes\nn\n", first + second, false, ""},
		{"yes, Enter", []changes.Change{plain, hook}, "y\n\n", first + second, false, ""},
		{"no", []changes.Change{plain, hook}, "n\n", first, false, "not applied"},
		{"Enter", []changes.Change{plain}, "\n", first, false, "not applied"},
		{"only plain", []changes.Change{plain, refused}, "y\n", first, false, ""},
		{"only a hook, yes", []changes.Change{hook}, "y\n", second, true, ""},
		{"only a hook, no", []changes.Change{hook}, "no\n", second, false, "not applied"},
		{"only what is refused", []changes.Change{refused}, "", "", false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, keyboard, _ := terminal(t)
			var asked bytes.Buffer
			s.Stderr = &asked
			if _, err := keyboard.WriteString(test.typed); err != nil {
				t.Fatal(err)
			}
			sensitive, err := s.askChanges(t.Context(), &transfer.Staged{Dir: "/p", Set: &changes.Set{Changes: test.changes}}, changes.Choice{})
			said := ""
			if err != nil {
				said = err.Error()
			}
			if sensitive != test.sensitive || said != test.err || asked.String() != test.asked {
				t.Errorf("%v, %q; asked %q, want %q", sensitive, said, asked.String(), test.asked)
			}
		})
	}
}

func TestWorkspaceFlags(t *testing.T) {
	t.Parallel()
	s := &session{typed: []string{"start", "x"}}
	for _, test := range []struct {
		options  workspaceOptions
		answered bool
		want     string
	}{
		{workspaceOptions{history: "head"}, false, ""},
		{workspaceOptions{history: "head", dir: "."}, false, ""},
		{workspaceOptions{history: "none", dir: ".", out: true}, true, ""},
		{workspaceOptions{history: "head", dir: ".", out: true}, false, "--copy-out needs a terminal to ask on, or --yes"},
		{workspaceOptions{history: "head", include: []string{".env"}}, true, "--copy-out and --include go with --copy-in"},
		{workspaceOptions{history: "tail", dir: "."}, true, `--copy-in-history="tail": head or none`},
	} {
		request, err := test.options.request(s, test.answered)
		if test.want == "" && (err != nil || (request != nil) != (test.options.dir != "")) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %+v, %v, want %q", test.options, request, err, test.want)
		}
	}
}
