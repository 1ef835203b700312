package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
)

// Receipt is what the probes of a bottle's boundary found.
type Receipt struct {
	Identity string    `json:"identity"`
	Time     time.Time `json:"time"`
	// GuestTrusted is false once an agent has run: only what the host saw counts then.
	GuestTrusted bool              `json:"guest_trusted"`
	VMTool       string            `json:"vm_tool"`
	Results      []boundary.Result `json:"results"`
	// Tools are the digests of what the machine runs on, as they are now; of those in
	// ChangedTools the bottle was started with others.
	Tools        []digest.Sum `json:"tools"`
	ChangedTools []string     `json:"changed_tools,omitempty"`
}

// guestPackage is the program that runs in the guest.
const guestPackage = "./images/agent/guest"

// Verify tries again whether the boundary of a running bottle holds.
func (a *App) Verify(ctx context.Context, identity string) (Receipt, error) {
	instance, err := a.open(identity)
	if err != nil {
		return Receipt{}, err
	}
	status, err := instance.Status()
	if err != nil {
		return Receipt{}, err
	}
	if !instance.Owned() || status.Phase != state.Running {
		return Receipt{}, notRunning(instance, status)
	}
	p, err := storedPlan(instance)
	if err != nil {
		return Receipt{}, err
	}
	client, err := a.clientOf(ctx, status)
	if err != nil {
		return Receipt{}, err
	}
	results, err := a.verify(ctx, proof.Verification{
		Guest: guestexec.Guest{Machine: client, Name: p.VM.Name}, Subject: proof.Subject{Plan: p, Shares: a.sharesOf(client, instance)},
	})
	receipt := Receipt{Identity: identity, Time: time.Now().UTC(), VMTool: status.VMTool, Results: results, Tools: a.digests(ctx, client, p.VM.Name)}
	receipt.ChangedTools = changedTools(status.Tools, receipt.Tools)
	return receipt, err
}

// verify adds what a verification needs and closes it.
func (a *App) verify(ctx context.Context, v proof.Verification) (results []boundary.Result, err error) {
	if v.Program, err = a.guestProgram(ctx); err != nil {
		return nil, err
	}
	engine, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	running, err := bundle.Find(ctx, engine, a.owner(), v.Subject.Plan.Identity)
	if err != nil {
		return nil, engineProblem(err)
	}
	if v.Targets, err = boundary.Open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Targets.Close()) }()
	v.Subject.Gate, v.Subject.Reach = running.Gate(), running.Dial
	return v.Verify(ctx)
}

// guestProgram is our program for the guest, as the image gets it.
func (a *App) guestProgram(ctx context.Context) ([]byte, error) {
	program, err := a.programs().Build(ctx, gobuild.Target{
		Package: guestPackage, Name: filepath.Base(guestPackage), OS: "linux", Arch: runtime.GOARCH,
	})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(program.Path)
}
