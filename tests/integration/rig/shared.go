//go:build integration

package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"bottle.internal/tests/need"
)

// Main runs the tests of a package, one run of them at a time on this machine: two would reap
// each other. The undos come last; each of them can make it a failure.
func Main(m *testing.M, lock string, undo ...func() error) (code int) {
	unlock, err := Lock(lock)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	defer unlock()
	code = m.Run()
	for _, undo := range undo {
		if err := undo(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: at the end:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Shared is what the tests of a package have in common: it is made for the first that asks.
type Shared struct {
	once sync.Once
	skip error
	undo []func() error
}

// Need makes it. The errors of prepare begin with what is missing, such as docker or vm: without
// it tests are skipped, unless BOTTLE_REQUIRE names it. They begin with test for a mistake.
func (s *Shared) Need(t testing.TB, prepare func(context.Context) error) {
	t.Helper()
	s.once.Do(func() { s.skip = prepare(context.WithoutCancel(t.Context())) })
	if s.skip == nil {
		return
	}
	what, _, _ := strings.Cut(s.skip.Error(), ":")
	if what == "test" {
		t.Fatal(s.skip)
	}
	need.Need(t, what, s.skip)
}

// Later is done after the last test, the newest first.
func (s *Shared) Later(undo func() error) { s.undo = append(s.undo, undo) }

// Undo is for [Main].
func (s *Shared) Undo() error {
	var problems []error
	for _, undo := range slices.Backward(s.undo) {
		problems = append(problems, undo())
	}
	return errors.Join(problems...)
}

// ForTest is a rig and an engine until the test ends. Where the engine is missing, or a VM
// that is needed, the test is skipped, unless BOTTLE_REQUIRE names what is.
func ForTest(t *testing.T, vm bool) (*Rig, *client.Client) {
	t.Helper()
	engine, err := Engine(t.Context())
	need.Need(t, "docker", err)
	t.Cleanup(func() { _ = engine.Close() })
	if vm {
		need.Need(t, "vm", NeedVM())
	}
	r, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, engine
}
