package token

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"bottle.internal/internal/secret"
)

const (
	readEvery = time.Second
	runEvery  = time.Minute
	runWindow = time.Hour
	maxRuns   = 10
)

// slot is one source and its last answer.
type slot struct {
	spec    Spec
	turn    chan struct{} // holds one token: who has it may look at what is below
	warning atomic.Pointer[string]

	answered bool
	asked    time.Time // when it was last read or run
	value    secret.Value
	err      error
	runs     []time.Time // of the last hour
}

func newSlot(spec Spec) *slot {
	s := &slot{spec: spec, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// get answers with what is there if it is young enough. Those who waited for somebody
// else's turn find it so.
func (s *slot) get(ctx context.Context, sources *Sources) (secret.Value, error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return secret.Value{}, s.interrupted(ctx)
	}
	defer func() { s.turn <- struct{}{} }()
	now := sources.options.Now()
	every := readEvery
	if s.spec.Source == Cmd {
		every = runEvery
	}
	if !s.asked.IsZero() && now.Sub(s.asked) < every {
		if !s.answered {
			return secret.Value{}, s.problem("was interrupted; it is asked again after %s", s.asked.Add(every).Format(time.TimeOnly))
		}
		return s.value, s.err
	}
	if err := s.admit(now); err != nil {
		return secret.Value{}, err
	}
	s.asked = now
	value, err := s.find(ctx, sources)
	if err != nil && ctx.Err() != nil {
		return secret.Value{}, s.interrupted(ctx) // it says nothing about the source
	}
	s.value, s.err, s.answered = value, err, true
	if err == nil {
		sources.remember(value)
	}
	return value, err
}

// admit counts the runs of a command.
func (s *slot) admit(now time.Time) error {
	if s.spec.Source != Cmd {
		return nil
	}
	for len(s.runs) > 0 && now.Sub(s.runs[0]) >= runWindow {
		s.runs = s.runs[1:]
	}
	if len(s.runs) >= maxRuns {
		return s.problem("was run %d times in an hour; it is asked again after %s", maxRuns, s.runs[0].Add(runWindow).Format(time.TimeOnly))
	}
	s.runs = append(s.runs, now)
	return nil
}

func (s *slot) problem(format string, args ...any) error {
	return &Error{Source: s.spec.String(), Problem: fmt.Sprintf(format, args...)}
}

func (s *slot) interrupted(ctx context.Context) error {
	return fmt.Errorf("asking %s: %w", s.spec, context.Cause(ctx))
}
