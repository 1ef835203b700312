package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/leakcheck"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/internal/token"
	"bottle.internal/pkg/smolvm"
)

// Leaks is what a search for a bottle's credentials found.
type Leaks struct {
	Identity string             `json:"identity"`
	Secrets  int                `json:"secrets"` // how many were looked for
	Skipped  []string           `json:"skipped"` // which could not be, and why
	Results  []leakcheck.Result `json:"results"`
}

// maxLeakBytes bounds the search of one place on the host.
const maxLeakBytes = 16 << 30

// The marker is written into the guest, and must be found wherever the guest is looked at.
const (
	markScript   = `printf %s "$1" >/var/tmp/.bottle-leakcheck && sync`
	unmarkScript = `rm -f /var/tmp/.bottle-leakcheck`
)

// Leaks searches everything that a running bottle has, in the guest and on this host, for
// the real credentials of its routes and remotes.
func (a *App) Leaks(ctx context.Context, identity string) (leaks Leaks, err error) {
	instance, err := a.open(identity)
	if err != nil {
		return Leaks{}, err
	}
	status, err := instance.Status()
	if err != nil {
		return Leaks{}, err
	}
	if !instance.Owned() || status.Phase != state.Running {
		return Leaks{}, notRunning(instance, status)
	}
	p, err := storedPlan(instance)
	if err != nil {
		return Leaks{}, err
	}
	client, err := a.clientOf(ctx, status)
	if err != nil {
		return Leaks{}, err
	}
	secrets, skipped, err := a.leakSecrets(ctx, p)
	if err != nil {
		return Leaks{}, err
	}
	search, err := leakcheck.New(secrets)
	if err != nil {
		skipped = append(skipped, strings.Split(err.Error(), "\n")...)
	}
	leaks = Leaks{Identity: identity, Secrets: search.Secrets(), Skipped: skipped}
	leaks.Results, err = guestLeaks(ctx, client, status, search)
	leaks.Results = append(leaks.Results, a.hostLeaks(instance, status, search)...)
	return leaks, err
}

// leakSecrets are the credentials that can be had again. A command is not run: it would
// make another one than the bottle has.
func (a *App) leakSecrets(ctx context.Context, p plan.Plan) (list []leakcheck.Secret, skipped []string, err error) {
	specs := map[int]token.Spec{}
	for i, route := range p.Egress {
		switch {
		case route.Auth == nil:
		case route.Auth.Source == "cmd":
			skipped = append(skipped, fmt.Sprintf("the credential of %s: its command would make another one", route.Host))
		default:
			specs[i] = a.tokenSpec(*route.Auth)
		}
	}
	tokens, err := token.New(specs, token.Options{Environ: a.config.Environ})
	if err != nil {
		return nil, nil, err
	}
	values, problems := tokens.First(ctx)
	for i, problem := range problems {
		skipped = append(skipped, fmt.Sprintf("the credential of %s: %v", p.Egress[i].Host, problem))
	}
	for i, value := range values {
		list = append(list, leakcheck.Secret{Name: p.Egress[i].Auth.String(), Value: value})
	}
	secrets, err := a.secrets(p)
	if err != nil {
		return nil, nil, err
	}
	for name, remote := range secrets.Remotes {
		list = append(list, leakcheck.Secret{Name: "the ssh key of " + name, Value: remote.Key})
	}
	return list, skipped, nil
}

// guestLeaks looks at the guest from inside, at its disk, and at its memory.
func guestLeaks(ctx context.Context, client *smolvm.Client, status state.Status, search *leakcheck.Search) (results []leakcheck.Result, err error) {
	marker := "bottle-leakcheck-" + rand.Text()
	guest := guestexec.Guest{Machine: client, Name: status.Machine}
	root := func(stdout io.Writer, argv ...string) error {
		code, err := guest.Run(ctx, guestexec.Command{Argv: argv, Workdir: "/", Root: true}, guestexec.Stdio{Stdout: stdout, Stderr: io.Discard})
		if err == nil && code != 0 {
			err = fmt.Errorf("the guest ended with status %d", code)
		}
		return err
	}
	if err := root(io.Discard, "sh", "-c", markScript, "sh", marker); err != nil {
		return nil, fmt.Errorf("marking the guest: %w", err)
	}
	defer func() { err = errors.Join(err, root(io.Discard, "sh", "-c", unmarkScript)) }()
	inside := search.Writer("the guest's files, environments and process lists", marker)
	results = append(results, inside.Result(root(inside, "sh", "-c", launch.SearchScript)))
	dir, err := client.DataDir(ctx, status.Machine)
	if err != nil {
		return results, err
	}
	results = append(results, search.Files("the machine's disks ("+dir+")", dir, marker, maxLeakBytes))
	machine, err := client.Status(ctx, status.Machine)
	if err != nil {
		return results, err
	}
	return append(results, search.Memory("the machine's memory", machine.PID, marker)), nil
}

// hostLeaks looks at what we keep on this host ourselves.
func (a *App) hostLeaks(instance *state.Instance, status state.Status, search *leakcheck.Search) []leakcheck.Result {
	log := filepath.Join(a.state.Dir(), state.AuditLog(instance.ID))
	results := []leakcheck.Result{
		search.Files("the instance directory ("+instance.Dir()+")", instance.Dir(), string(instance.ID), maxLeakBytes),
		search.Files("the audit log", log, string(instance.ID), maxLeakBytes),
	}
	if status.Artifact != "" {
		results = append(results, search.Files("the packed image", status.Artifact, "bottle-guest", maxLeakBytes))
	}
	return results
}
