//go:build linux

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"bottle.internal/internal/lite/store"
)

func (a *App) stop(ctx context.Context, args []string) error {
	flags := a.flags("stop", stopHelp)
	name := flags.name()
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	_, dir, err := a.open(*name)
	if err != nil {
		return err
	}
	if lock, err := settled(ctx, dir, 0); err == nil {
		defer func() { _ = lock.Close() }()
		c, err := inspect(ctx, dir)
		if err != nil {
			return err
		}
		return a.print(fmt.Sprintf("Machine '%s' is not running (state: %s)\n", *name, c.state))
	} else if errors.Is(err, store.ErrNotFound) {
		return notFound(*name)
	} else if !errors.Is(err, store.ErrBusy) {
		return err
	}
	if err := a.print(fmt.Sprintf("Stopping machine '%s'...\n", *name)); err != nil {
		return err
	}
	lock, err := halt(ctx, dir)
	if err != nil {
		return fmt.Errorf("agent operation failed: stop machine: %w", err)
	}
	_ = lock.Close()
	return a.print(fmt.Sprintf("Stopped machine: %s\n", *name))
}

func (a *App) delete(ctx context.Context, args []string) error {
	flags := a.flags("delete", deleteHelp)
	name := flags.StringP("name", "n", "", "")
	force := flags.BoolP("force", "f", false, "")
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	if *name == "" {
		return &usageError{"the following required arguments were not provided:\n  --name <NAME>"}
	}
	machines, dir, err := a.open(*name)
	if err != nil {
		return err
	}
	if !*force {
		if ok, err := a.confirm(fmt.Sprintf("Delete machine '%s'? [y/N] ", *name)); err != nil {
			return err
		} else if !ok {
			return a.print("Cancelled\n")
		}
	}
	lock, err := halt(ctx, dir)
	if errors.Is(err, store.ErrNotFound) {
		return notFound(*name)
	}
	if err != nil {
		return fmt.Errorf("agent operation failed: stop machine: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := a.print("Cleaning up data directory for vm: " + *name + "\n"); err != nil {
		return err
	}
	if err := machines.Remove(dir); err != nil {
		return fmt.Errorf("config operation failed: delete machine: %w", err)
	}
	return a.print("Deleted machine: " + *name + "\n")
}

// confirm takes the end of stdin for a no.
func (a *App) confirm(question string) (bool, error) {
	if _, err := fmt.Fprint(a.Stderr, question); err != nil {
		return false, err
	}
	answer, _ := bufio.NewReader(a.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
