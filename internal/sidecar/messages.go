package sidecar

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
)

// tell hands init what it has to run. A Deliver comes before it or after it, whole.
func (r *running) tell(ctx context.Context, host *control.Host) error {
	r.sending.Lock()
	defer r.sending.Unlock()
	r.mu.Lock()
	r.host = host
	boot := r.boot
	r.mu.Unlock()
	if err := host.Bootstrap(ctx, boot); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = true
	return nil
}

// answerAll answers what daemons ask until init is gone. Questions are answered side by
// side: one of them may wait for a person.
func (r *running) answerAll(ctx context.Context, host *control.Host) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for q := range host.Questions() {
		all.Go(func() {
			body, err := r.answer(ctx, q)
			if err := host.Answer(ctx, q, body, err); err != nil && ctx.Err() == nil {
				r.say(ctx, event.Warn, fmt.Sprintf("answering %s: %v", q.Daemon, err))
			}
		})
	}
}

// Deliver implements [launch.Sidecar]. Without a bundle the next one gets the inputs; those
// that cannot be handed over are forgotten, so that a restart does not bring them.
func (r *running) Deliver(ctx context.Context, daemon string, inputs control.Inputs) error {
	r.sending.Lock()
	defer r.sending.Unlock()
	r.mu.Lock()
	before := r.boot.Inputs
	r.boot.Inputs = maps.Clone(before)
	r.boot.Inputs[daemon] = inputs
	host, told := r.host, r.told
	r.mu.Unlock()
	if !told {
		return nil
	}
	err := host.Deliver(ctx, control.Deliver{Daemon: daemon, Inputs: inputs})
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.boot.Inputs = before
	}
	return err
}
