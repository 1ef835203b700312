// Package outfit says what a plan puts into a guest, whoever runs it: prompt, settings, git
// and the address of the supervisor. It is pure; keys, certificates, skills and values of
// the environment are added by who has them.
package outfit

import (
	"fmt"

	"bottle.internal/internal/plan"
	"bottle.internal/pkg/provision"
)

const sshPort = 22

// Of returns what the plan itself says. The prompt's text is given, wherever it came from.
func Of(p plan.Plan, prompt []byte) provision.Input {
	input := provision.Input{
		Prompt:  provision.Prompt{Path: p.Prompt.Guest, Text: prompt},
		Workdir: p.Workdir,
	}
	if user := p.Git.User; user != nil {
		input.Git.Name, input.Git.Email = user.Name, user.Email
	}
	for _, remote := range p.Git.Remotes {
		input.Git.Remotes = append(input.Git.Remotes, provision.Remote{
			Upstream: UpstreamURL(remote), Gate: fmt.Sprintf("http://127.0.0.1:%d/%s.git", plan.PortGitGate, remote.Name),
		})
	}
	if p.Supervise {
		input.Supervise = fmt.Sprintf("http://127.0.0.1:%d/mcp", plan.PortSupervise)
	}
	for _, file := range p.Files {
		input.Settings = append(input.Settings, provision.Setting{Path: file.Path, Data: []byte(file.Text)})
	}
	return input
}

// UpstreamURL is how people write a repository, and so the agent.
func UpstreamURL(remote plan.Remote) string {
	host := remote.Host
	if remote.Port != sshPort {
		host = fmt.Sprintf("%s:%d", host, remote.Port)
	}
	return fmt.Sprintf("ssh://%s@%s%s", remote.User, host, remote.Path)
}
