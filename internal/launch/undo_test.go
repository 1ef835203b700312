package launch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestUndoRunsEverythingLastFirst(t *testing.T) {
	t.Parallel()
	var stack undo
	var ran []string
	step := func(name string, err error) {
		stack.push(name, func(context.Context) error {
			ran = append(ran, name)
			return err
		})
	}
	step("first", nil)
	step("second", errors.New("stuck"))
	step("third", nil)

	err := stack.unwind(t.Context())
	if err == nil || err.Error() != "undoing second: stuck" {
		t.Errorf("unwind() = %v", err)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if err := stack.unwind(t.Context()); err != nil || len(ran) != 3 {
		t.Errorf("a second unwind ran again: %v, %v", ran, err)
	}
}

func TestUndoBranchesRunSideBySide(t *testing.T) {
	t.Parallel()
	var stack undo
	branches := stack.branches("both", 2)
	// Each waits for the other: this ends only if they run at the same time.
	var meet sync.WaitGroup
	meet.Add(2)
	for _, branch := range branches {
		branch.push("meet", func(context.Context) error {
			meet.Done()
			meet.Wait()
			return errors.New("x")
		})
	}
	err := stack.unwind(t.Context())
	if want := "undoing both: undoing meet: x\nundoing meet: x"; err == nil || err.Error() != want {
		t.Errorf("unwind() = %v, want %q", err, want)
	}
}
