package control

import (
	"context"
	"errors"
)

// ErrOrphaned ends a daemon that nobody could give other inputs any more.
var ErrOrphaned = errors.New("the channel to init ended")

// Follow gives every new input to take, until ctx ends, which is no error, or the channel
// does.
func Follow(ctx context.Context, inputs <-chan Inputs, take func(Inputs)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case next, ok := <-inputs:
			if ok {
				take(next)
				continue
			}
			if ctx.Err() == nil {
				return ErrOrphaned
			}
			return nil // both ended, in whatever order
		}
	}
}
