package smolvm

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// deleteArgs always has --force: without it the tool asks, reads the end of its input
// as "no", and reports success.
func deleteArgs(tool Tool, name string) (invocation, error) {
	if tool.Version.positionalName() {
		return invocation{args: []string{"machine", "delete", name, "--force"}}, checkName(name)
	}
	return invocation{args: []string{"machine", "delete", "--name", name, "--force"}}, checkName(name)
}

// Delete stops a machine and removes it with its disks. It returns when `ls` lacks it
// and its process is dead. An unknown machine is fine.
func (c *Client) Delete(ctx context.Context, name string) error {
	if err := c.delete(ctx, name); err != nil {
		return fmt.Errorf("deleting machine %s: %w", name, err)
	}
	return nil
}

func (c *Client) delete(ctx context.Context, name string) error {
	call, err := deleteArgs(c.config.Tool, name)
	if err != nil {
		return err
	}
	vmm, err := c.stop(ctx, name)
	if err != nil && (c.config.Tool.Version.deleteLeavesProcess() || ctx.Err() != nil) {
		return err // deleting it now would orphan its process
	}
	failure := c.run(ctx, call)
	listed := false
	err = poll(ctx, c.config.Patience, func(ctx context.Context) (bool, error) {
		machines, err := c.List(ctx)
		listed = slices.ContainsFunc(machines, func(m Machine) bool { return m.Name == name })
		if err == nil && listed {
			err = failure
		}
		return !listed && !vmm.alive(), err
	})
	switch {
	case !errors.Is(err, errPatience):
		return err
	case listed:
		return fmt.Errorf("%s says that it is gone, but lists it", c.config.Tool.Name)
	}
	return &orphanError{pid: vmm.pid}
}

// orphanError says that a deleted machine's process did not end. It is not killed here:
// the tool may be about to.
type orphanError struct{ pid int }

func (e *orphanError) Error() string {
	return fmt.Sprintf("it is gone, but its process %d lives on", e.pid)
}

// HintLines says what to type.
func (e *orphanError) HintLines() []string { return []string{fmt.Sprintf("kill %d", e.pid)} }
