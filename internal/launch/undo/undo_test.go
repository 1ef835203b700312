package undo_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"bottle.internal/internal/launch/undo"
)

func TestUnwindRunsEverythingLastFirst(t *testing.T) {
	t.Parallel()
	var stack undo.Stack
	var ran []string
	step := func(name string, err error) {
		stack.Push(name, func(context.Context) error {
			ran = append(ran, name)
			return err
		})
	}
	step("first", nil)
	step("second", errors.New("stuck"))
	step("third", nil)

	err := stack.Unwind(t.Context())
	if err == nil || err.Error() != "undoing second: stuck" {
		t.Errorf("Unwind() = %v", err)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if err := stack.Unwind(t.Context()); err != nil || len(ran) != 3 {
		t.Errorf("a second Unwind ran again: %v, %v", ran, err)
	}
}

func TestBranchesRunSideBySide(t *testing.T) {
	t.Parallel()
	var stack undo.Stack
	branches := stack.Branches("both", 2)
	// Each waits for the other: this ends only if they run at the same time.
	var meet sync.WaitGroup
	meet.Add(2)
	for _, branch := range branches {
		branch.Push("meet", func(context.Context) error {
			meet.Done()
			meet.Wait()
			return errors.New("x")
		})
	}
	err := stack.Unwind(t.Context())
	if want := "undoing both: undoing meet: x\nundoing meet: x"; err == nil || err.Error() != want {
		t.Errorf("Unwind() = %v, want %q", err, want)
	}
}
