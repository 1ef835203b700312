package smolvm

import (
	"context"
	"errors"
	"fmt"

	"bottle.internal/internal/execx"
)

func startArgs(name string) (invocation, error) {
	return invocation{args: []string{"machine", "start", "--name", name}}, checkName(name)
}

// Start boots a machine and returns when it runs; a running one is fine. The tool
// waits for the guest itself, 30 s and more: give the context at least 60 s. When the
// context ends, the machine may run anyway: undo with Delete.
func (c *Client) Start(ctx context.Context, name string) error {
	if err := c.start(ctx, name); err != nil {
		return fmt.Errorf("starting machine %s: %w", name, err)
	}
	return nil
}

func (c *Client) start(ctx context.Context, name string) error {
	call, err := startArgs(name)
	if err != nil {
		return err
	}
	command := c.command(call)
	command.LeavesDaemon = true
	if err := c.explain(execx.Run(ctx, command)); err != nil && !onlyOutputHeld(ctx, err) {
		return err
	}
	var state State
	err = poll(ctx, c.config.Patience, func(ctx context.Context) (bool, error) {
		machine, err := c.status(ctx, name)
		state = machine.State
		return machine.Running(), err
	})
	if errors.Is(err, errPatience) {
		return fmt.Errorf("%w: %s says that it started, but it is %.40q", ErrNotRunning, c.config.Tool.Name, state)
	}
	return err
}

// onlyOutputHeld: the tool ended well, but the VMM that it left behind kept its stderr
// open until we stopped listening.
func onlyOutputHeld(ctx context.Context, err error) bool {
	exit := (*execx.ExitError)(nil)
	return errors.As(err, &exit) && exit.Code < 0 && exit.Signal == 0 && ctx.Err() == nil
}
