// Package token finds the credentials of routes on the host: in an environment variable,
// in a file, or in what a command prints.
//
// Invariants: a value is a [secret.Value] from the moment it is read, and no error holds
// one. Nothing is run through a shell. A daemon asks by the index of a route and can name
// nothing else; however often it asks, a command is run once at a time, at most once a
// minute, and at most ten times in an hour.
package token

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/secret"
)

// The kinds of source.
const (
	Env  = "env"
	File = "file"
	Cmd  = "cmd"
)

// MaxValue bounds a credential, in bytes: a header has to hold it.
const MaxValue = 8 << 10

// Spec says where the credential of a route comes from.
type Spec struct {
	Source string   // Env, File or Cmd
	Name   string   // of the variable or the file, whose path is absolute
	Cmd    []string // program and arguments
}

// String names the source without anything that could be secret.
func (s Spec) String() string {
	if s.Source == Cmd && len(s.Cmd) > 0 {
		return Cmd + ":" + s.Cmd[0]
	}
	return s.Source + ":" + s.Name
}

// Options are what the sources know of the host.
type Options struct {
	Environ []string         // the operator's environment, for variables and commands
	Dir     string           // where commands run; never a repository, which could configure them. "" is /
	Now     func() time.Time // nil is time.Now
}

// Error says why a source has no credential.
type Error struct {
	Source  string // as of [Spec.String]
	Problem string
	// Detail is what a command wrote to its standard error, without credentials that are
	// known. It is for the operator: no daemon and no guest should see it.
	Detail string
}

func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Short() + ": " + e.Detail
	}
	return e.Short()
}

// Short is the error without the detail, for a daemon that asked.
func (e *Error) Short() string { return e.Source + " " + e.Problem }

// Warning is something about a source that its owner should change.
type Warning struct {
	Source string
	Text   string
}

func (w Warning) String() string { return w.Source + " " + w.Text }

// Sources finds the credentials of the routes of one bottle. It is safe for concurrent use.
type Sources struct {
	options Options
	runTime time.Duration
	slots   map[int]*slot

	mu    sync.Mutex
	known []secret.Value // everything that was ever found, newest last
}

// New checks the specs, by the index of their route. Routes with the same source share it.
func New(specs map[int]Spec, options Options) (*Sources, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Dir == "" {
		options.Dir = "/"
	}
	s := &Sources{options: options, runTime: runTime, slots: map[int]*slot{}}
	shared := map[string]*slot{}
	for _, index := range slices.Sorted(maps.Keys(specs)) {
		spec := specs[index]
		if err := spec.check(); err != nil {
			return nil, fmt.Errorf("the credential of route %d: %w", index, err)
		}
		key := strings.Join(append([]string{spec.Source, spec.Name}, spec.Cmd...), "\x00")
		if shared[key] == nil {
			shared[key] = newSlot(spec)
		}
		s.slots[index] = shared[key]
	}
	return s, nil
}

func (s Spec) check() error {
	for _, word := range append([]string{s.Name}, s.Cmd...) {
		if strings.ContainsRune(word, 0) {
			return errors.New("a name with a zero byte")
		}
	}
	switch {
	case s.Source == Cmd && len(s.Cmd) > 0 && s.Cmd[0] != "":
		return nil
	case s.Source == Env && s.Name != "" && !strings.Contains(s.Name, "=") && len(s.Cmd) == 0:
		return nil
	case s.Source == File && strings.HasPrefix(s.Name, "/") && len(s.Cmd) == 0:
		return nil
	}
	return fmt.Errorf("%q is no source", s.String())
}

// First finds all credentials, side by side, and says why one is missing. A route without
// its credential is no reason not to start: it will be refused where it is needed.
func (s *Sources) First(ctx context.Context) (map[int]secret.Value, map[int]error) {
	values, problems := map[int]secret.Value{}, map[int]error{}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
	)
	for index := range s.slots {
		group.Go(func() {
			value, err := s.Refresh(ctx, index)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems[index] = err
				return
			}
			values[index] = value
		})
	}
	group.Wait()
	return values, problems
}

// Refresh finds the credential of a route again. Those who ask at the same time get one
// answer. Who asks too soon gets the last answer again: a second after a variable or a
// file was read, a minute after a command was run. A command that was run ten times in an
// hour is an error.
func (s *Sources) Refresh(ctx context.Context, index int) (secret.Value, error) {
	slot, ok := s.slots[index]
	if !ok {
		return secret.Value{}, &Error{Source: "route " + strconv.Itoa(index), Problem: "has no credential"}
	}
	return slot.get(ctx, s)
}

// Known returns every credential that was found so far, for whoever hides them.
func (s *Sources) Known() []secret.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// maxKnown bounds what is remembered of a bottle that runs for months.
const maxKnown = 256

func (s *Sources) remember(value secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(other secret.Value) bool { return other.Reveal() == value.Reveal() }
	if slices.ContainsFunc(s.known, same) {
		return
	}
	if len(s.known) >= maxKnown {
		s.known = slices.Delete(s.known, 0, 1)
	}
	s.known = append(s.known, value)
}

// Warnings lists what was seen so far that should be changed, once for each source.
func (s *Sources) Warnings() []Warning {
	var warnings []Warning
	seen := map[*slot]bool{}
	for _, index := range slices.Sorted(maps.Keys(s.slots)) {
		slot := s.slots[index]
		if text := slot.warning.Load(); text != nil && !seen[slot] {
			warnings = append(warnings, Warning{slot.spec.String(), *text})
		}
		seen[slot] = true
	}
	return warnings
}
