package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// undo is a stack of the effects that a launch has had. Unwind runs every step, last
// first, whatever fails, and leaves the stack empty: calling it twice is harmless.
type undo struct {
	observe func(effect string) // nil, or told of every push and every undoing

	mu    sync.Mutex
	steps []undoStep
}

type undoStep struct {
	name string
	run  func(context.Context) error
}

func (u *undo) push(name string, run func(context.Context) error) {
	u.mu.Lock()
	u.steps = append(u.steps, undoStep{name, run})
	u.mu.Unlock()
	u.did(name)
}

func (u *undo) did(effect string) {
	if u.observe != nil {
		u.observe(effect)
	}
}

// branches pushes one step that unwinds several stacks side by side: what was started
// side by side is stopped side by side.
func (u *undo) branches(name string, count int) []*undo {
	stacks := make([]*undo, count)
	for i := range stacks {
		stacks[i] = &undo{observe: u.observe}
	}
	u.push(name, func(ctx context.Context) error {
		problems := make([]error, count)
		var wg sync.WaitGroup
		for i, stack := range stacks {
			wg.Go(func() { problems[i] = stack.unwind(ctx) })
		}
		wg.Wait()
		return errors.Join(problems...)
	})
	return stacks
}

func (u *undo) unwind(ctx context.Context) error {
	u.mu.Lock()
	steps := u.steps
	u.steps = nil
	u.mu.Unlock()
	var problems []error
	for _, step := range slices.Backward(steps) {
		if err := step.run(ctx); err != nil {
			problems = append(problems, fmt.Errorf("undoing %s: %w", step.name, err))
		}
		u.did("undoing " + step.name)
	}
	return errors.Join(problems...)
}
