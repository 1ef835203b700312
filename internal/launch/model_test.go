package launch

import (
	"strings"
	"testing"

	"bottle.internal/internal/plan"
)

// tryPlan is a bottle with a scripted model.
func tryPlan() plan.Plan {
	return plan.Plan{
		Identity: "claude-aaaaa", Model: "model.bottle.test", Supervise: true, Echo: []string{"model.bottle.test", "git.bottle.test"},
		Git: plan.Git{User: &plan.User{Name: "Agent"}, Remotes: []plan.Remote{
			{Name: "real", Host: "forge.example.com", Port: 22, User: "git", Path: "/me/real.git", Branches: []string{"bottle/claude-aaaaa/*"}},
			{Name: "app", Host: "git.bottle.test", Port: 22, User: "git", Path: "/app.git", Echo: true, Branches: []string{"bottle/claude-aaaaa/*"}},
		}},
	}
}

// TestModelOf: the script is made from the plan. It changes an echo repository, never a real
// one, and only where no person would be asked.
func TestModelOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*plan.Plan)
		want   []string // the steps
		shell  []string // parts of the first command
	}{
		"whole": {
			func(*plan.Plan) {},
			[]string{"write, commit and push", "ask supervise what may be reached"},
			[]string{"git clone --quiet ssh://git@git.bottle.test/app.git app", "HEAD:bottle/claude-aaaaa/change", "+\"A change of %FT%TZ\""},
		},
		"no supervise":    {func(p *plan.Plan) { p.Supervise = false }, []string{"write, commit and push"}, nil},
		"needs approval":  {func(p *plan.Plan) { p.Git.Remotes[1].Approve = true }, []string{"write a file", "ask supervise what may be reached"}, []string{"change.txt"}},
		"no author":       {func(p *plan.Plan) { p.Git.User = nil }, []string{"write a file", "ask supervise what may be reached"}, nil},
		"other branches":  {func(p *plan.Plan) { p.Git.Remotes[1].Branches = []string{"x/*"} }, []string{"write a file", "ask supervise what may be reached"}, nil},
		"no echo at all":  {func(p *plan.Plan) { p.Git.Remotes = p.Git.Remotes[:1] }, []string{"write a file", "ask supervise what may be reached"}, nil},
		"no model at all": {func(p *plan.Plan) { p.Model = "" }, nil, nil},
	} {
		p := tryPlan()
		test.change(&p)
		m := modelOf(p)
		if m == nil {
			if test.want != nil {
				t.Errorf("%s: no model", name)
			}
			continue
		}
		if err := m.Script.Check(); err != nil || m.Host != "model.bottle.test" {
			t.Errorf("%s: %q %v", name, m.Host, err)
		}
		var got []string
		for _, step := range m.Script.Steps {
			got = append(got, step.Name)
		}
		if strings.Join(got, "|") != strings.Join(test.want, "|") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		shell := m.Script.Steps[0].Shell
		for _, part := range test.shell {
			if !strings.Contains(shell, part) {
				t.Errorf("%s: %q is not in\n%s", name, part, shell)
			}
		}
		if strings.Contains(shell, "forge.example.com") {
			t.Errorf("%s: it pushes to a real repository", name)
		}
	}
}

// TestModelIsSearched: a bottle to try an agent in shows that no credential came into it.
func TestModelIsSearched(t *testing.T) {
	t.Parallel()
	b := &Bottle{plan: tryPlan()}
	if !b.searches() {
		t.Error("a bottle with a model is not searched for the credential")
	}
	if b.plan.Model = ""; b.searches() {
		t.Error("a bottle for work is searched")
	}
}
