package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/smolvm"
)

// ResumeRequest is what was asked for.
type ResumeRequest struct {
	Identity string
	Fresh    bool // a new machine from today's image, in place of the old one
	TrustCwd bool
	Asks     bool // a person will be asked for a yes
}

// Resumption is a bottle as it would be resumed. It is a plain value.
type Resumption struct {
	Plan  plan.Plan `json:"plan"`
	Fresh bool      `json:"fresh"`
	// Notes are for the person who is asked: a line each.
	Notes []string `json:"notes"`
}

// PlanResume plans a bottle anew, from today's manifest, under its old identity. It
// changes nothing.
func (a *App) PlanResume(ctx context.Context, request ResumeRequest) (Resumption, error) {
	instance, err := a.open(request.Identity)
	if err != nil {
		return Resumption{}, err
	}
	status := launch.StatusOf(instance)
	if instance.Owned() {
		return Resumption{}, inUse(instance, status)
	}
	p, err := a.Plan(ctx, PlanRequest{
		Agent: status.Agent, Identity: instance.ID, TrustCwd: request.TrustCwd, Asks: request.Asks,
	})
	if err != nil {
		return Resumption{}, err
	}
	old, err := storedPlan(instance)
	p.Workspace = old.Workspace // not of the manifest: of the first start
	resumption := Resumption{Plan: p, Fresh: request.Fresh}
	if err != nil {
		resumption.Notes = append(resumption.Notes, "what the plan was before cannot be read: "+err.Error())
	} else {
		resumption.Notes = append(resumption.Notes, whatChanged(old, p)...)
	}
	if request.Fresh {
		resumption.Notes = append(resumption.Notes, "the machine is made anew from today's image: what its disk holds is lost")
		return resumption, nil
	}
	if status.ImageKey != "" && status.ImageKey != p.Image.Key {
		resumption.Notes = append(resumption.Notes, "the image is newer now; this bottle goes on with its old disk (the new one: bottle resume --fresh "+request.Identity+")")
	}
	return resumption, sameMachine(old, p)
}

// whatChanged says what differs between the plan that a bottle ran by and the new one.
func whatChanged(old, now plan.Plan) []string {
	changed := plan.Diff(old, now)
	if changed.Empty() {
		return nil
	}
	note := "the plan has changed since:"
	if changed.Widens() {
		note = "the plan has changed since; lines with ! let the agent do more:"
	}
	return append([]string{note}, strings.Split(strings.TrimRight(changed.Text(), "\n"), "\n")...)
}

// sameMachine refuses what a machine that exists cannot become.
func sameMachine(old, now plan.Plan) error {
	var what string
	switch {
	case old.Identity == "": // it cannot be read: nobody knows
	case old.VM.Tool != now.VM.Tool:
		what = fmt.Sprintf("its machine is one of %s, and the VM tool is %s now", old.VM.Tool, now.VM.Tool)
	case len(old.Ports) != len(now.Ports):
		what = fmt.Sprintf("its machine has %d ways out, and the plan wants %d now", len(old.Ports), len(now.Ports))
	case old.VM.CPUs != now.VM.CPUs, old.VM.MemoryMiB != now.VM.MemoryMiB, old.VM.DiskGiB != now.VM.DiskGiB:
		what = fmt.Sprintf("its machine has %s, and the plan wants %s now", size(old.VM), size(now.VM))
	}
	for i := range min(len(old.Ports), len(now.Ports)) {
		if what == "" && old.Ports[i].Guest != now.Ports[i].Guest {
			what = fmt.Sprintf("its machine has port %d, and the plan wants %d now", old.Ports[i].Guest, now.Ports[i].Guest)
		}
	}
	if what == "" {
		return nil
	}
	return fresh(now.Identity, what)
}

func size(vm plan.VM) string {
	return fmt.Sprintf("%d cpus, %d MiB and %d GiB", vm.CPUs, vm.MemoryMiB, vm.DiskGiB)
}

// fresh is the problem of a machine that cannot go on.
func fresh(identity, what string) *Problem {
	return &Problem{Text: identity + " cannot go on as it is: " + what, Hints: []string{"bottle resume --fresh " + identity}}
}

func inUse(instance *state.Instance, status state.Status) error {
	return &Problem{
		Text:  fmt.Sprintf("%s is in use (%s)", instance.ID, instance.Now(status)),
		Hints: []string{"bottle list"},
	}
}

// Resume launches a bottle again that is kept, or whose owner died. The caller closes it.
func (a *App) Resume(ctx context.Context, r Resumption) (*launch.Bottle, error) {
	bottle, err := a.tryResume(ctx, r)
	if errors.Is(err, bundle.ErrLeftover) {
		// The engine carries out what a process asked for that has died since.
		bottle, err = a.tryResume(ctx, r)
	}
	if err != nil {
		return nil, engineProblem(err)
	}
	return bottle, nil
}

func (a *App) tryResume(ctx context.Context, r Resumption) (*launch.Bottle, error) {
	instance, err := a.open(r.Plan.Identity)
	if err != nil {
		return nil, err
	}
	switch err := instance.Lock(); {
	case errors.Is(err, state.ErrLocked):
		return nil, inUse(instance, launch.StatusOf(instance))
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(r.Plan.Identity)
	case err != nil:
		return nil, err
	}
	bottle, err := a.resume(ctx, r, instance)
	if err != nil {
		instance.Unlock()
	}
	return bottle, err
}

// resume has the lock, which the bottle takes over.
func (a *App) resume(ctx context.Context, r Resumption, instance *state.Instance) (*launch.Bottle, error) {
	status := launch.StatusOf(instance)
	client, err := a.vmTool(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.room(client.Tool()); err != nil { // before anything of the old one is lost
		return nil, err
	}
	if r.Fresh {
		err = a.retire(ctx, client, status)
	} else {
		err = a.settleMachine(ctx, client, status)
	}
	if err != nil {
		return nil, err
	}
	if err := a.resources().Remove(ctx, instance.ID); err != nil {
		return nil, err
	}
	if err := instance.SetWish(state.NoWish); err != nil {
		return nil, err
	}
	deps, done, err := a.deps(ctx, r.Plan, client)
	if err != nil {
		return nil, err
	}
	defer done()
	bottle, err := launch.Resume(ctx, r.Plan, deps, launch.Kept{Instance: instance, Status: status, Fresh: r.Fresh})
	if boot := (*launch.BootError)(nil); errors.As(err, &boot) && !r.Fresh {
		return nil, &Problem{Err: err, Hints: []string{"bottle resume --fresh " + r.Plan.Identity}}
	}
	return bottle, err
}

// settleMachine makes sure that the machine can be started: it exists, what it boots from
// is there, and nothing of an earlier owner runs in it.
func (a *App) settleMachine(ctx context.Context, client *smolvm.Client, status state.Status) error {
	machine, err := client.Status(ctx, status.Machine)
	switch {
	case errors.Is(err, smolvm.ErrNotFound):
		return fresh(string(status.Identity), "its machine is gone")
	case err != nil:
		return err
	}
	if status.Artifact != "" {
		if _, err := os.Stat(status.Artifact); errors.Is(err, fs.ErrNotExist) {
			return fresh(string(status.Identity), "what its machine boots from is gone: "+status.Artifact)
		}
	}
	if !machine.Dead() {
		if err := client.Stop(ctx, status.Machine); err != nil {
			return err
		}
	}
	return a.checkResumable(ctx, status)
}

// retire stops a machine that a fresh one replaces. One of another tool, which nobody would
// look for afterwards, is deleted.
func (a *App) retire(ctx context.Context, now *smolvm.Client, status state.Status) error {
	before, err := a.clientOf(ctx, status)
	if err != nil {
		return err
	}
	if before.Tool().Name != now.Tool().Name {
		return before.Delete(ctx, status.Machine)
	}
	return now.Stop(ctx, status.Machine)
}

func notFound(identity string) error {
	return &Problem{Text: "there is no bottle " + identity, Hints: []string{"bottle list"}}
}
