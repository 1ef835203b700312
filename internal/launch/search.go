package launch

import (
	"context"
	"fmt"
	"io"

	"bottle.internal/internal/egress/needle"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
)

// demoTemplate is one whose receipt shows that no credential came into the guest.
const demoTemplate = "demo"

// searches reports whether this launch is one to try bottle with: the search is slow.
func (b *Bottle) searches() bool { return b.plan.Template == demoTemplate || b.plan.Model != "" }

// SearchScript prints what the agent could have left or seen a credential in: the
// environment and arguments of every process, and the files of all places that programs
// write to.
const SearchScript = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; " +
	"tar -cf - --one-file-system /etc /home /root /run /tmp /var/log /var/tmp; true"

// search is the outcome of looking for credentials in the guest.
type search struct {
	size    int64
	found   bool // a credential
	control bool // a setting that was provisioned: the search can find something
	secrets int  // how many were looked for
	err     error
}

func (s *search) String() string {
	megabytes := fmt.Sprintf("%.1f MB of the guest's files, environments and process lists", float64(s.size)/1e6)
	switch {
	case s.found: // also if the search ended early
		return megabytes + ": A CREDENTIAL IS THERE"
	case s.err != nil:
		return fmt.Sprintf("uncontrolled: %s", shown(s.err.Error()))
	case s.secrets == 0:
		return "uncontrolled: there is no credential to look for"
	case !s.control:
		return megabytes + ": uncontrolled, the guest's own settings were not found either"
	}
	return megabytes + ": its settings are there, the credential is not"
}

// searchGuest runs as the guest's root, after the agent.
func (b *Bottle) searchGuest(ctx context.Context) *search {
	secrets := b.overseer.Secrets()
	s := &search{secrets: len(secrets)}
	credentials := scannerOf(secrets...)
	control := scannerOf(secret.New(b.setting()))
	out := writerFunc(func(p []byte) (int, error) {
		s.size += int64(len(p))
		if _, found := credentials.Scan(p); found {
			s.found = true
		}
		if _, found := control.Scan(p); found {
			s.control = true
		}
		return len(p), nil
	})
	_, s.err = Exec(ctx, b.deps.Machine, b.plan.VM.Name,
		Command{Argv: []string{"sh", "-c", SearchScript}, Workdir: "/", Root: true}, Stdio{Stdout: out, Stderr: io.Discard})
	return s
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

func scannerOf(secrets ...secret.Value) *needle.Scanner {
	needles := map[int][]string{}
	for i, value := range secrets {
		needles[i] = needle.Spellings(value.Reveal())
	}
	return &needle.Scanner{Set: needle.NewSet(needles)}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
