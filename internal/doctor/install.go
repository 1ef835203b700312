package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bottle.internal/internal/event"
)

// NeedsPersonError says that the rest has to be done by hand.
type NeedsPersonError struct {
	Names []string // of the items
	Lines []string // to type
}

func (e *NeedsPersonError) Error() string {
	return "this machine lacks what a bottle needs: " + strings.Join(e.Names, ", ")
}

// HintLines are the lines to type.
func (e *NeedsPersonError) HintLines() []string { return e.Lines }

// Install does what may be done without asking and reports how the machine is then.
// What is left for a person is a [*NeedsPersonError].
func Install(ctx context.Context, o Options) ([]Item, error) {
	o = o.withDefaults()
	items := Check(ctx, o)
	if AllFine(items) {
		return items, nil
	}
	platform := Detect(ctx, o)
	for _, step := range Steps(items, platform) {
		if !step.Auto {
			continue
		}
		o.Events.Send(ctx, event.Event{Kind: event.Start, Step: step.Name, Text: strings.Join(step.Lines, "; ")})
		if err := o.do(ctx, step, platform); err != nil {
			return items, fmt.Errorf("setting up %s: %w", step.Name, err)
		}
		o.Events.Send(ctx, event.Event{Kind: event.Done, Step: step.Name})
	}
	items = Check(ctx, o)
	if AllFine(items) {
		return items, nil
	}
	left := &NeedsPersonError{}
	for _, item := range items {
		if item.Needed() {
			left.Names = append(left.Names, item.Name)
		}
	}
	for _, step := range Steps(items, platform) {
		left.Lines = append(left.Lines, step.Lines...)
	}
	return items, left
}

func (o Options) do(ctx context.Context, step Step, p Platform) error {
	switch step.Action {
	case RunCommands:
		return o.runAll(ctx, step.Commands)
	case FetchKernel:
		return o.fetchKernel(ctx, p)
	case StartDocker:
		return o.startDocker(ctx, step, p)
	default:
		return nil
	}
}

func (o Options) runAll(ctx context.Context, commands [][]string) error {
	for _, args := range commands {
		if _, err := o.System.Run(ctx, Command{Args: args, Output: o.Log}); err != nil {
			return err
		}
	}
	return nil
}

const (
	dockerWait = 30 * time.Second
	dockerPoll = 200 * time.Millisecond
)

// startDocker starts the engine, unless installing it has done that, and waits until
// its API answers.
func (o Options) startDocker(ctx context.Context, step Step, p Platform) error {
	if _, err := o.System.Engine(ctx); err == nil {
		return nil
	}
	logName := ""
	if p.Services == NoManager {
		if err := os.MkdirAll(o.LogDir, 0o700); err != nil {
			return err
		}
		logName = filepath.Join(o.LogDir, "dockerd.log")
		log, err := os.OpenFile(logName, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(o.System.Start(step.Commands[0], log), log.Close()); err != nil {
			return err
		}
	} else if err := o.runAll(ctx, step.Commands); err != nil {
		return err
	}
	return o.awaitDocker(ctx, logName)
}

func (o Options) awaitDocker(ctx context.Context, logName string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, dockerWait, errors.New("it did not answer in time"))
	defer cancel()
	ticker := time.NewTicker(dockerPoll)
	defer ticker.Stop()
	for {
		// An engine that refuses this user runs: what is left is a matter for a person.
		if _, err := o.System.Engine(ctx); err == nil || denied(err) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("starting the Docker Engine: %w%s", context.Cause(ctx), logTail(logName))
		}
	}
}

// logTail is the end of a log, in a form that fits an error.
func logTail(name string) string {
	data, err := os.ReadFile(name)
	text := strings.TrimSpace(string(data))
	if name == "" || err != nil || text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return fmt.Sprintf("; its log %s ends:\n  %s", name, strings.Join(lines[max(0, len(lines)-5):], "\n  "))
}
