package app

import (
	"context"
	"errors"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

// KeepRule says whether a bottle may outlive its agent.
type KeepRule bool

// The rules. KeepUnfinished keeps a bottle whose agent ended with anything but 0.
const (
	KeepUnfinished KeepRule = true
	KeepNever      KeepRule = false
)

// Attach gives do the streams of whoever looks at the agent, for as long as it runs.
type Attach func(ctx context.Context, do func(context.Context, launch.Stdio) (int, error)) (int, error)

// End is how a bottle ended.
type End struct {
	Exit    *int // the agent's code; nil if something else ended it
	Kept    bool // it can be resumed
	Receipt string
}

// RunAndClose runs the agent of a started bottle and takes the bottle down. It is kept if
// the rule says so, or who stopped it (see [App.Stop]). An error is of the agent's run, or
// of the teardown, or of both.
func (a *App) RunAndClose(ctx context.Context, bottle *launch.Bottle, attach Attach, rule KeepRule) (End, error) {
	code, runErr := attach(ctx, bottle.Run)
	var end End
	if runErr == nil {
		end.Exit = &code
	}
	end.Kept = keeps(rule, bottle.Wish(), runErr == nil && code == 0)
	var closeErr error
	if ctx = context.WithoutCancel(ctx); end.Kept {
		closeErr = bottle.Keep(ctx, end.Exit)
	} else {
		closeErr = bottle.Close(ctx)
	}
	end.Receipt = bottle.Receipt()
	return end, errors.Join(runErr, closeErr)
}

// keeps decides what becomes of a bottle: its own rule comes before who stops it, who comes
// before how the agent ended.
func keeps(rule KeepRule, wish state.Wish, finished bool) bool {
	switch {
	case rule == KeepNever, wish == state.WishRemove:
		return false
	case wish == state.WishKeep:
		return true
	}
	return !finished
}
