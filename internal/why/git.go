package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/nearest"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/rules"
)

// IsGit reports whether text is the ssh address of a repository.
func IsGit(text string) bool {
	if strings.HasPrefix(text, "ssh://") {
		return true
	}
	user, rest, ok := strings.Cut(text, "@")
	return ok && !strings.ContainsAny(user, ":/") && strings.Contains(rest, ":") && !strings.Contains(text, "://")
}

// AskGit says what the git gate would answer to a fetch (no branch) or to a push.
func AskGit(f Facts, name, branch string) Answer {
	question := "fetch " + safe(name)
	if branch != "" {
		question = "push " + safe(name) + " " + safe(branch)
	}
	answer := newAnswer(f, question)
	remote, ok := f.remote(name)
	if !ok {
		f.noRemote(&answer, name)
		return answer
	}
	step := Step{Layer: "git-gate", Allows: true, Reason: fmt.Sprintf("%s is behind the gate: %s:%d%s", remote.Name, remote.Host, remote.Port, remote.Path), At: remote.At}
	if branch != "" {
		ref := branch
		if !strings.HasPrefix(ref, "refs/") {
			ref = "refs/heads/" + branch
		}
		if rule, reason := gitgate.DecidePush(rules.Git(remote), ref); rule != "" {
			step.Allows, step.Rule, step.Reason = false, rule, reason
		}
	}
	answer.Allowed, answer.Steps = step.Allows, append(answer.Steps, step)
	f.gitNotes(&answer, remote, branch)
	return answer
}

func (f Facts) gitNotes(answer *Answer, remote plan.Remote, branch string) {
	step := answer.Decisive()
	if branch != "" && !f.Started {
		answer.note(f.Plan.Identity + " stands for the identity that a start draws")
	}
	switch {
	case step.Allows && branch == "":
		return
	case step.Allows:
		if remote.Approve {
			answer.note("each push waits for your approval: bottle supervise watch")
		}
		answer.note("what is pushed is judged when it is: secrets in any object, history, sizes")
		if len(remote.Protect) > 0 && !remote.Approve {
			answer.note("a change of " + strings.Join(remote.Protect, ", ") + " waits for your approval")
		}
	case step.Rule == "branch" && !strings.HasPrefix(branch, "refs/"):
		answer.ToAllow = append(answer.ToAllow,
			fmt.Sprintf("in %s, in the remote %s, write:", cmp.Or(remote.At, f.file()), remote.Name),
			"  push.branches = "+list(append(slices.Clone(generic(remote.Branches, f.Plan.Identity)), branch)))
	default:
		answer.note("no manifest changes that")
	}
}

// generic spells the branches as a manifest does, which knows no identity.
func generic(branches []string, identity string) []string {
	var list []string
	for _, branch := range branches {
		list = append(list, strings.ReplaceAll(branch, identity, "<identity>"))
	}
	return list
}

// remote finds one by its name or its address.
func (f Facts) remote(name string) (plan.Remote, bool) {
	same := func(r plan.Remote) bool {
		return r.Name == name || slices.Contains([]string{
			fmt.Sprintf("ssh://%s@%s:%d%s", r.User, r.Host, r.Port, r.Path),
			fmt.Sprintf("ssh://%s@%s%s", r.User, r.Host, r.Path),
			fmt.Sprintf("%s@%s:%s", r.User, r.Host, strings.TrimPrefix(r.Path, "/")),
		}, name) && (r.Port == 22 || strings.Contains(name, fmt.Sprintf(":%d/", r.Port)))
	}
	i := slices.IndexFunc(f.Plan.Git.Remotes, same)
	if i < 0 {
		return plan.Remote{}, false
	}
	return f.Plan.Git.Remotes[i], true
}

func (f Facts) noRemote(answer *Answer, name string) {
	var known []string
	for _, remote := range f.Plan.Git.Remotes {
		known = append(known, remote.Name)
	}
	reason := fmt.Sprintf("no remote %s: the list of %s is empty, and nothing else leads to a git server over ssh", safe(name), f.Plan.Git.Bottle)
	if len(known) > 0 {
		reason = fmt.Sprintf("no remote %s; remotes: %s; nothing else leads to a git server over ssh", safe(name), strings.Join(known, ", "))
		if near := nearest.Of(name, known); near != "" {
			reason = fmt.Sprintf("no remote %s; did you mean %s?", safe(name), near)
		}
	}
	answer.Steps = append(answer.Steps, Step{Layer: "git-gate", Rule: "remote", Reason: reason})
	upstream := "ssh://git@HOST/PATH.git"
	if strings.HasPrefix(name, "ssh://") {
		upstream = safe(name)
	}
	answer.ToAllow = append(answer.ToAllow,
		fmt.Sprintf("in %s, write:", f.file()),
		fmt.Sprintf("  [[bottles.%s.git.remotes]]", f.Plan.Git.Bottle),
		`  name = "NAME"`,
		fmt.Sprintf("  upstream = %q", upstream),
		`  identity_file = "~/.ssh/DEPLOY_KEY"`,
		`  known_host_key = "HOST TYPE KEY" # ssh-keyscan HOST prints it`)
}
