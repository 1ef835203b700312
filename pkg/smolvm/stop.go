package smolvm

import (
	"context"
	"errors"
	"fmt"
)

func stopArgs(name string) (invocation, error) {
	return invocation{args: []string{"machine", "stop", "--name", name}}, checkName(name)
}

// Stop ends a machine and returns when its process is gone. One that does not run, or
// does not exist, is fine.
func (c *Client) Stop(ctx context.Context, name string) error {
	if _, err := c.stop(ctx, name); err != nil {
		return fmt.Errorf("stopping machine %s: %w", name, err)
	}
	return nil
}

// stop also returns the process that the machine had.
func (c *Client) stop(ctx context.Context, name string) (process, error) {
	call, err := stopArgs(name)
	if err != nil {
		return process{}, err
	}
	machine, err := c.status(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return process{}, nil
	case err == nil && machine.Dead():
		return process{}, nil
	}
	vmm := findProcess(machine.PID)
	// The exit status of stop is no proof, for or against: only what is seen after it.
	failure := c.run(ctx, call)
	err = poll(ctx, c.config.Patience, func(ctx context.Context) (bool, error) {
		machine, err := c.status(ctx, name)
		if errors.Is(err, ErrNotFound) || err == nil && machine.Dead() {
			return !vmm.alive(), nil
		}
		return false, errors.Join(failure, err)
	})
	if errors.Is(err, errPatience) {
		err = fmt.Errorf("%s says that it stopped, but it still runs", c.config.Tool.Name)
	}
	return vmm, err
}
