package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/plan"
)

// TestDemoRoles: which steps the tour has follows from the bottle, and a step that could
// only fail is left out.
func TestDemoRoles(t *testing.T) {
	t.Parallel()
	const (
		names  = `echo = ["c.test", "plain.test", "no.test", "api.test", "git.test", "new.test", "other.test"]` + "\n"
		listed = "[[bottles.b.egress.routes]]\nhost = \"plain.test\"\naddress = \"private\"\n"
		auth   = `auth = { header = "X-Api-Key", token = "env:T" }` + "\n"
		api    = "[[bottles.b.egress.routes]]\nhost = \"api.test\"\naddress = \"private\"\n" + auth
		get    = `methods = ["GET"]` + "\n"
		v1     = `paths = ["/v1", "/v2"]` + "\n"
		user   = "[bottles.b.git.user]\nname = \"a\"\nemail = \"a@a.test\"\n"
		git    = "[[bottles.b.git.remotes]]\nname = \"app\"\nupstream = \"ssh://git@git.test/app.git\"\n" + user
		asks   = "supervise = true\n"
	)
	for _, test := range []struct {
		name, top, rest string
		want            string // the variables without BOTTLE_DEMO_, URL and CANARY
		approves        string
	}{
		{"the least", names, listed, "UNLISTED=https://c.test/", ""},
		{
			"all", names + asks, listed + api + get + v1 + git,
			"API=https://api.test/v1 BRANCH=bottle/a-x7k2p/demo GIT=ssh://git@git.test/app.git NEW=https://no.test/ UNLISTED=https://c.test/", "no.test new.test other.test",
		},
		{"nobody to ask", names, listed + git, "BRANCH=bottle/a-x7k2p/demo GIT=ssh://git@git.test/app.git UNLISTED=https://c.test/", ""},
		{"DELETE passes", names, listed + api + `methods = ["GET", "DELETE"]` + "\n" + v1, "UNLISTED=https://c.test/", ""},
		{"GET does not pass", names, listed + api + `methods = ["POST"]` + "\n" + v1, "UNLISTED=https://c.test/", ""},
		{"all paths pass", names, listed + api + get + `paths = ["/"]` + "\n", "UNLISTED=https://c.test/", ""},
		{"no credential", names, listed + strings.Replace(api, auth, "", 1) + get + v1, "UNLISTED=https://c.test/", ""},
		{"pushes wait", names, listed + strings.Replace(git, user, "push = { approve = true }\n"+user, 1), "UNLISTED=https://c.test/", ""},
		{"other branches", names, listed + strings.Replace(git, user, "push = { branches = [\"x/*\"] }\n"+user, 1), "UNLISTED=https://c.test/", ""},
		{"no name for commits", names, listed + strings.Replace(git, user, "", 1), "UNLISTED=https://c.test/", ""},
		{"a route on another port", names, listed + "[[bottles.b.egress.routes]]\nhost = \"c.test:8443\"\naddress = \"private\"\n", "UNLISTED=https://no.test/", ""},
	} {
		set := parse(t, "[bottles.b]\n"+test.top+test.rest+"[agents.a]\nbottle = \"b\"\ntemplate = \"demo\"\n[agents.s]\nbottle = \"b\"\ntemplate = \"shell\"\n")
		p, err := plan.Resolve(set, ask("a"), facts(set, "a"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []string
		for _, env := range p.Env {
			if name, ok := strings.CutPrefix(env.Name, "BOTTLE_DEMO_"); ok && name != "URL" && name != "CANARY" {
				got = append(got, name+"="+env.Value)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if got := strings.Join(p.DemoApproves, " "); got != test.approves {
			t.Errorf("%s: the demo approves %q, want %q", test.name, got, test.approves)
		}
		if p, err := plan.Resolve(set, ask("s"), facts(set, "s")); err != nil || len(p.DemoApproves) != 0 {
			t.Errorf("%s: a shell approves by itself: %q, %v", test.name, p.DemoApproves, err)
		}
	}
}
