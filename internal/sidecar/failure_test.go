package sidecar_test

import (
	"context"
	"errors"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/sidecar"
)

func TestStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		set   func(*fakeEngine, *sidecar.Starter, context.CancelCauseFunc)
		want  string
		boots int
	}{
		{
			"no image", func(_ *fakeEngine, s *sidecar.Starter, _ context.CancelCauseFunc) {
				s.Image = func(context.Context) (string, error) { return "", errors.New("no image today") }
			}, "no image today", 0,
		},
		{
			"init refuses", func(e *fakeEngine, _ *sidecar.Starter, _ context.CancelCauseFunc) {
				e.onBoot = func(init *control.Init) { _ = init.Refuse("the config is \x1b[31mbad") }
			}, "waiting for the bundle's daemons: waiting for the bundle: the bundle's init ended: the bundle's init refused: the config is \ufffd[31mbad", 1,
		},
		{
			"init dies", func(e *fakeEngine, _ *sidecar.Starter, _ context.CancelCauseFunc) {
				e.onBoot = func(*control.Init) { e.kill() }
			}, "waiting for the bundle's daemons: waiting for the bundle: the bundle's init ended", 1,
		},
		{
			"interrupted while it waits", func(e *fakeEngine, _ *sidecar.Starter, cancel context.CancelCauseFunc) {
				e.onBoot = func(*control.Init) { cancel(errors.New("interrupt signal received")) }
			}, "waiting for the bundle's daemons: waiting for the bundle: interrupt signal received", 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine := newEngine(t) // its cleanup looks for leftovers
			s := starter(engine, event.Discard())
			ctx, cancel := context.WithCancelCause(t.Context())
			test.set(engine, &s, cancel)
			running, err := s.Start(ctx, spec(t, 1))
			if running != nil || err == nil || err.Error() != test.want {
				t.Errorf("Start() = %v, %v; want %q", running, err, test.want)
			}
			if len(engine.boots) != test.boots {
				t.Errorf("%d bootstraps", len(engine.boots))
			}
		})
	}
}
