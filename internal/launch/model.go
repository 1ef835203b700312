package launch

import (
	"fmt"
	"slices"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/echo/model"
	"bottle.internal/internal/outfit"
	"bottle.internal/internal/plan"
)

// changeScript makes one small change in a clone and pushes it; it can run again. Its words
// are a remote's name, its URL and a branch, all in plain characters.
const changeScript = `set -e
test -d %[1]s || git clone --quiet %[2]s %[1]s
cd %[1]s
git checkout --quiet -B %[3]s
date -u +"A change of %%FT%%TZ" >>change.txt
git add change.txt
git commit --quiet --message "A scripted change"
git push --quiet origin HEAD:%[3]s 2>&1
echo "pushed $(git rev-parse --short HEAD) to %[3]s"`

// writeScript is for a bottle without a repository of ours.
const writeScript = `date -u +"A change of %FT%TZ" >>change.txt && tail -n 1 change.txt`

// modelOf is the model that the echo upstream plays, nil without one. Its script shows what
// the boundary lets an agent do: a change through the git gate, a question to supervise.
func modelOf(p plan.Plan) *echo.Model {
	if p.Model == "" {
		return nil
	}
	change := model.Step{Name: "write a file", Shell: writeScript}
	if remote, branch := scriptedRemote(p); remote.Name != "" {
		change = model.Step{Name: "write, commit and push", Shell: fmt.Sprintf(changeScript, remote.Name, outfit.UpstreamURL(remote), branch)}
	}
	script := model.Script{Steps: []model.Step{change}}
	if p.Supervise {
		script.Steps = append(script.Steps, model.Step{Name: "ask supervise what may be reached", Tool: "list-egress-routes"})
	}
	return &echo.Model{Host: p.Model, Script: script}
}

// scriptedRemote finds an echo repository that takes a push without a question: a script
// changes nothing of anybody's.
func scriptedRemote(p plan.Plan) (remote plan.Remote, branch string) {
	own := "bottle/" + p.Identity + "/"
	i := slices.IndexFunc(p.Git.Remotes, func(r plan.Remote) bool {
		return r.Echo && !r.Approve && p.Git.User != nil && slices.Contains(r.Branches, own+"*")
	})
	if i < 0 {
		return plan.Remote{}, ""
	}
	return p.Git.Remotes[i], own + "change"
}
