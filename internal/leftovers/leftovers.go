// Package leftovers finds and removes what is left of bottles that no living process owns: a
// directory of the state, a machine, containers, sockets.
//
// Invariants: only what carries our mark is ours, and all else stays; a bottle is removed
// under its lock, so nobody takes it up meanwhile; its directory goes last, so what could not
// be removed is found again.
package leftovers

import (
	"context"

	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/smolvm"
)

// Sweeper knows the places where something can be left.
type Sweeper struct {
	State  *state.Root
	Tools  Tools
	Engine Engine
	// Observe is told of a removed instance. Nil but in tests.
	Observe func(effect string)
}

// Tools finds the VM tools that have machines.
type Tools interface {
	// Today is the one that a bottle would be started with now.
	Today(ctx context.Context) (Tool, error)
	// Of is the one that a bottle was started with, or today's where that is gone.
	Of(ctx context.Context, status state.Status) (Tool, error)
}

// Tool is a VM tool; [smolvm.Client] is one.
type Tool interface {
	Tool() smolvm.Tool
	List(ctx context.Context) ([]smolvm.Machine, error)
	Status(ctx context.Context, name string) (smolvm.Machine, error)
	Stop(ctx context.Context, name string) error
	Delete(ctx context.Context, name string) error
}

// Engine has the containers, of this state directory only.
type Engine interface {
	List(ctx context.Context) ([]bundle.Resource, error)
	Remove(ctx context.Context, id names.Identity) error
}
