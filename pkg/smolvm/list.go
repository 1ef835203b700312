package smolvm

import (
	"context"
	"fmt"
)

func listArgs() invocation { return invocation{args: []string{"machine", "ls", "--json"}} }

// List asks for every machine of this tool, ours or not.
func (c *Client) List(ctx context.Context) ([]Machine, error) {
	data, err := c.answer(ctx, listArgs())
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	machines, err := decodeMachines(data)
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	return machines, nil
}
