package smolvm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	readyTimeout   = 30 * time.Second
	attemptTimeout = 10 * time.Second
)

// WaitReady returns when programs can be run in a machine that was just started: the
// first of them may be killed (137) while the guest settles. It tries for at most 30 s.
// A machine that stops running meanwhile is [ErrNotRunning].
func (c *Client) WaitReady(ctx context.Context, name string) error {
	last := errors.New("no answer")
	err := poll(ctx, readyTimeout, func(ctx context.Context) (bool, error) {
		code, text, err := c.tryTrue(ctx, name)
		switch {
		case errors.Is(err, ErrNotRunning), errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid):
			return false, err
		case err != nil:
			last = err
		case code != 0:
			last = fmt.Errorf("`true` ended with exit status %d: %s", code, clean(text))
		}
		return err == nil && code == 0, nil
	})
	if errors.Is(err, errPatience) || ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", err, last)
	}
	if err != nil {
		return fmt.Errorf("waiting for machine %s: %w", name, err)
	}
	return nil
}

func (c *Client) tryTrue(ctx context.Context, name string) (code int, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var text boundedBuffer
	code, err = c.exec(ctx, ExecOptions{Name: name, Command: []string{"true"}, Stderr: &text})
	return code, text.bytes.String(), err
}
