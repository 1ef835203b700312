// Package undo keeps, for everything that was done, how to take it back.
//
// Invariants: the steps are taken last first, and each of them, whatever fails; none is taken
// twice; what was done side by side is taken back side by side.
package undo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stack are the effects that something has had so far. The zero value is empty.
type Stack struct {
	// Observe is told of every push and every undoing, after it. It may be nil.
	Observe func(effect string)

	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	run  func(context.Context) error
}

// Push adds an effect that begins, and how it is undone.
func (s *Stack) Push(name string, run func(context.Context) error) {
	s.mu.Lock()
	s.steps = append(s.steps, step{name, run})
	s.mu.Unlock()
	s.did(name)
}

func (s *Stack) did(effect string) {
	if s.Observe != nil {
		s.Observe(effect)
	}
}

// Branches pushes one step that unwinds several stacks side by side: what was started
// side by side is stopped side by side.
func (s *Stack) Branches(name string, count int) []*Stack {
	stacks := make([]*Stack, count)
	for i := range stacks {
		stacks[i] = &Stack{Observe: s.Observe}
	}
	s.Push(name, func(ctx context.Context) error {
		problems := make([]error, count)
		var wg sync.WaitGroup
		for i, stack := range stacks {
			wg.Go(func() { problems[i] = stack.Unwind(ctx) })
		}
		wg.Wait()
		return errors.Join(problems...)
	})
	return stacks
}

// Unwind undoes everything, and leaves the stack empty: calling it twice is harmless.
func (s *Stack) Unwind(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	var problems []error
	for _, step := range slices.Backward(steps) {
		if err := step.run(ctx); err != nil {
			problems = append(problems, fmt.Errorf("undoing %s: %w", step.name, err))
		}
		s.did("undoing " + step.name)
	}
	return errors.Join(problems...)
}
