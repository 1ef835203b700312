package smolvm

import (
	"context"
	"fmt"
)

func statusArgs(name string) (invocation, error) {
	return invocation{args: []string{"machine", "status", "--name", name, "--json"}}, checkName(name)
}

// Status asks about one machine. An unknown one is [ErrNotFound].
func (c *Client) Status(ctx context.Context, name string) (Machine, error) {
	machine, err := c.status(ctx, name)
	if err != nil {
		return Machine{}, fmt.Errorf("asking about machine %s: %w", name, err)
	}
	return machine, nil
}

func (c *Client) status(ctx context.Context, name string) (Machine, error) {
	call, err := statusArgs(name)
	if err != nil {
		return Machine{}, err
	}
	data, err := c.answer(ctx, call)
	if err != nil {
		return Machine{}, err
	}
	machine, err := decodeMachine(data)
	if err == nil && machine.Name != name {
		return Machine{}, fmt.Errorf("%s answered about %.40q", c.config.Tool.Name, machine.Name)
	}
	return machine, err
}
