package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/smolvm"
)

// Verification asks a running bottle for its boundary again.
type Verification struct {
	Guest   guestexec.Guest
	Subject Subject
	Targets *boundary.Targets
	Program []byte // bottle-guest, for the guest
}

// maxProbeAnswer bounds what a guest can say to a probe, in bytes.
const maxProbeAnswer = 128 << 10

// Verify runs all probes and judges them. Whoever ran in the guest could have changed it:
// what counts is what came to the host's targets.
func (v Verification) Verify(ctx context.Context) ([]boundary.Result, error) {
	checks := v.Subject.Checks(ctx, v.Targets)
	var probes bytes.Buffer
	if err := probe.Write(&probes, boundary.Probes(checks)); err != nil {
		return nil, err
	}
	nonce := guestapi.NewNonce()
	said := excerpt.Head{Limit: maxProbeAnswer}
	_, err := v.Guest.Machine.Exec(ctx, smolvm.ExecOptions{
		Name: v.Guest.Name, Stdin: io.MultiReader(bytes.NewReader(v.Program), &probes), Stdout: &said, Stderr: io.Discard,
		Command: guestapi.FreshArgs(len(v.Program), guestapi.ProbeArgs(nonce, plan.PortFirewall)),
	})
	if err != nil {
		return nil, fmt.Errorf("probing %s: %w", v.Subject.Plan.Identity, err)
	}
	answer, _ := said.Bytes()
	line, proved := bytes.CutPrefix(answer, []byte(guestapi.Proved(nonce)))
	if !proved {
		return nil, fmt.Errorf("probing %s: %w", v.Subject.Plan.Identity, errors.New("the guest did not answer"))
	}
	observations, err := probe.Parse[probe.Observation](bytes.TrimSuffix(line, []byte{'\n'}))
	if err != nil {
		return nil, fmt.Errorf("probing %s: %w", v.Subject.Plan.Identity, err)
	}
	return boundary.Judge(checks, observations), nil
}
