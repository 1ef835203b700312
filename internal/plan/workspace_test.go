package plan_test

import (
	"strings"
	"testing"

	"bottle.internal/internal/plan"
)

func TestWorkspaceInThePreflight(t *testing.T) {
	t.Parallel()
	p := plan.Plan{Identity: "demo-aaaaa", Workdir: "/home/agent/work", Workspace: &plan.Workspace{
		Dir: "/p\x1b[2J", Include: []string{".env"}, Files: 123, Bytes: 4_500_000, Commits: "the commits of main, 1.0 MB", Biggest: []string{"src 4.0 MB", "docs 0.5 MB"},
		Excluded: []plan.WorkspaceExcluded{{Why: "ignored by .gitignore", Count: 11, Paths: []string{"a", "b"}}, {Why: "a socket", Count: 1, Paths: []string{"s"}}},
		Notes:    []string{"a note"},
	}}
	want := `workspace  /p\x1b[2J -> /home/agent/work, 123 files, 4.5 MB (12 excluded)
           biggest: src 4.0 MB, docs 0.5 MB
           the commits of main, 1.0 MB
           11 left out, ignored by .gitignore: a, b, ...
           1 left out, a socket: s
           INCLUDED ALTHOUGH A CREDENTIAL BY NAME: .env
           a note
           changes stay in the bottle: bottle copy-out demo-aaaaa
`
	if got := p.Preflight(); !strings.Contains(got, want) {
		t.Errorf("%s\nlacks\n%s", got, want)
	}
	p.Workspace.CopyOut = true
	if got := p.Preflight(); !strings.Contains(got, "           changes are shown when the agent ends, and applied after your yes\n") {
		t.Error(got)
	}
}
