package gitgate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/printable"
)

// upstreamError is what the agent is told when the way to the upstream fails.
type upstreamError struct {
	text string
	err  error
}

func (e *upstreamError) Error() string { return e.text }
func (e *upstreamError) Unwrap() error { return e.err }

// explain turns a failure of git or ssh into one line that says what to do about it.
func explain(remote *remoteState, err error) error {
	name := fmt.Sprintf("upstream of %q (%s:%d)", remote.spec.Name, remote.spec.Host, remote.spec.Port)
	exit := (*execx.ExitError)(nil)
	said := ""
	if errors.As(err, &exit) {
		said = exit.Stderr
	}
	var text string
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		text = name + " did not answer in time"
	case errors.Is(err, context.Canceled):
		text = "the gate is shutting down"
	case strings.Contains(said, "Host key verification failed"), strings.Contains(said, "no matching host key type"):
		text = name + ": its host key is not the pinned one (known_host_key); nothing was sent"
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Too many authentication failures"):
		text = name + " did not accept the remote's key"
	case strings.Contains(said, "git-dial: "):
		_, why, _ := strings.Cut(said, "git-dial: ")
		why, _, _ = strings.Cut(why, "\n")
		text = name + " cannot be reached: " + printable.ASCII(why, 200)
	case said != "":
		text = name + " failed: " + printable.ASCII(lastLine(said), 200)
	default:
		text = "the gate failed: " + printable.ASCII(err.Error(), 200)
	}
	return &upstreamError{text, err}
}

// lastLine prefers what git calls the reason to its advice.
func lastLine(said string) string {
	last := ""
	for text := range strings.Lines(said) {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "ERROR: ") || strings.HasPrefix(text, "fatal: ") && last == "" {
			return text
		}
		if text != "" {
			last = text
		}
	}
	return last
}
