package launch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/leakcheck"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
)

// maxShown bounds what a receipt quotes of a guest's words, in bytes.
const maxShown = 200

// demoTemplate is one whose receipt shows that no credential came into the guest.
const demoTemplate = "demo"

// searches reports whether this launch is one to try bottle with: the search is slow.
func (b *Bottle) searches() bool { return b.plan.Template == demoTemplate || b.plan.Model != "" }

// SearchScript prints what the agent could have left or seen a credential in: the
// environment and arguments of every process, and the files of all places that programs
// write to.
const SearchScript = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; " +
	"tar -cf - --one-file-system /etc /home /root /run /tmp /var/log /var/tmp; true"

// search is the outcome of looking for credentials in the guest. Its control is a setting
// that was provisioned.
type search struct {
	leakcheck.Result
	secrets int // how many were looked for
}

func (s *search) String() string {
	megabytes := fmt.Sprintf("%.1f MB of %s", float64(s.Bytes)/1e6, s.Place)
	switch {
	case s.Leak != "": // also if the search ended early
		return megabytes + ": A CREDENTIAL IS THERE"
	case s.Problem != "":
		return "uncontrolled: " + printable.Escaped(s.Problem, maxShown)
	case s.secrets == 0:
		return "uncontrolled: there is no credential to look for"
	case !s.Control:
		return megabytes + ": uncontrolled, the guest's own settings were not found either"
	}
	return megabytes + ": its settings are there, the credential is not"
}

// searchGuest runs as the guest's root, after the agent.
func (b *Bottle) searchGuest(ctx context.Context) *search {
	var secrets []leakcheck.Secret
	for _, value := range b.overseer.Secrets() {
		secrets = append(secrets, leakcheck.Secret{Name: "a credential", Value: value})
	}
	look, err := leakcheck.New(secrets)
	out := look.Writer("the guest's files, environments and process lists", b.setting())
	_, execErr := b.guest().Run(ctx,
		guestexec.Command{Argv: []string{"sh", "-c", SearchScript}, Workdir: "/", Root: true}, guestexec.Stdio{Stdout: out, Stderr: io.Discard})
	return &search{out.Result(errors.Join(err, execErr)), look.Secrets()}
}

// setting is the longest plain value that the guest got: it must be found.
func (b *Bottle) setting() string {
	longest := plan.Placeholder
	for _, env := range b.plan.Env {
		if len(env.Value) > len(longest) {
			longest = env.Value
		}
	}
	return longest
}
