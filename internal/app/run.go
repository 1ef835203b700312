package app

import (
	"context"
	"errors"

	"bottle.internal/internal/guestexec"
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
type Attach func(ctx context.Context, do func(context.Context, guestexec.Stdio) (int, error)) (int, error)

// End is how a bottle ended.
type End struct {
	Exit    *int // the agent's code; nil if something else ended it
	Kept    bool // it can be resumed
	Receipt string
}

// Ending says what becomes of a bottle when its agent ends.
type Ending struct {
	Rule KeepRule
	// Finish is done after the agent, while the machine still runs; nil: nothing. If it
	// fails, the bottle is kept: what the agent did would be lost.
	Finish func(context.Context) error
	// Holds says that the bottle has a workspace of the host's. Without a Finish that
	// brings it back, the bottle is kept then.
	Holds bool
}

// RunAndClose runs the agent of a started bottle and takes the bottle down. It is kept if
// the ending says so, or who stopped it (see [App.Stop]). An error is of the agent's run, of
// the finish, or of the teardown, or of all of them.
func (a *App) RunAndClose(ctx context.Context, bottle *launch.Bottle, attach Attach, ending Ending) (End, error) {
	code, runErr := attach(ctx, bottle.Run)
	var end End
	var finishErr error
	if runErr == nil {
		end.Exit = &code
		if ending.Finish != nil {
			finishErr = ending.Finish(ctx)
		}
	}
	finished := runErr == nil && code == 0 && (ending.Finish != nil || !ending.Holds)
	end.Kept = finishErr != nil || keeps(ending.Rule, bottle.Wish(), finished)
	var closeErr error
	if ctx = context.WithoutCancel(ctx); end.Kept {
		closeErr = bottle.Keep(ctx, end.Exit)
	} else {
		closeErr = bottle.Close(ctx)
	}
	end.Receipt = bottle.Receipt()
	return end, errors.Join(runErr, finishErr, closeErr)
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
