package gitgate

import (
	"strings"

	"bottle.internal/internal/printable"
)

// DecidePush says why a push to a branch is refused before anything of it is looked at; ""
// means that it is not. The gate and whoever explains it cannot differ. What is pushed is
// judged later: secrets, CI files, history, sizes.
func DecidePush(remote Remote, ref string) (rule, reason string) {
	if why := remote.check(command{Ref: ref}); why != nil {
		return why.rule, why.reason
	}
	return "", ""
}

// check looks at one ref that is asked for.
func (r Remote) check(cmd command) *refusal {
	problem := checkRef(cmd.Ref)
	switch {
	case problem != "":
		return refuse(ruleName, "%s", problem)
	case strings.HasPrefix(cmd.Ref, "refs/tags/"):
		return refuse(ruleBranch, "tags are not allowed")
	case cmd.New == zeroOID:
		return refuse(ruleDelete, "deleting is not allowed")
	case !r.allows(cmd.Ref):
		return refuse(ruleBranch, "only branches %s may be pushed", printable.ASCII(strings.Join(r.Branches, ", "), 200))
	}
	return nil
}
