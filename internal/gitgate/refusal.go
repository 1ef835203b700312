package gitgate

import (
	"context"
	"errors"
	"fmt"

	"bottle.internal/internal/printable"
)

// Rules that a push can break, beside those of package pushscan.
const (
	ruleBranch     = "branch"
	ruleForce      = "force"
	ruleDelete     = "delete"
	ruleName       = "ref-name"
	ruleCount      = "ref-count"
	ruleCapability = "capability"
	ruleStale      = "stale"
	rulePack       = "pack"
	ruleLimit      = "limit"
	ruleOpaque     = "opaque"
	ruleTime       = "time"
	ruleApproval   = "approval"
	ruleUpstream   = "upstream"
	ruleInternal   = "internal"
	ruleBusy       = "busy"
)

// refusal is why a push is not taken. Its text goes to the agent.
type refusal struct {
	rule   string
	reason string
	ref    string // the ref that it is about; "" for all
	commit string
	path   string
	line   int
	canary string // its fingerprint
	hide   bool   // the names of the refs are not for the log
	note   string // more than one line's worth, for the progress band
}

func (r *refusal) Error() string {
	text := r.reason
	if r.commit != "" {
		text += ": commit " + short(r.commit)
		if r.path != "" {
			text += ", " + printable.ASCII(r.path, 200)
			if r.line > 0 {
				text += fmt.Sprintf(":%d", r.line)
			}
		}
		text += ", rule " + r.rule
	}
	return text
}

func refuse(rule, format string, args ...any) *refusal {
	return &refusal{rule: rule, reason: fmt.Sprintf(format, args...)}
}

// asRefusal makes every error one: what is not understood refuses too.
func asRefusal(err error) *refusal {
	r := (*refusal)(nil)
	up := (*upstreamError)(nil)
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(ruleTime, "the push took too long to look through")
	case errors.Is(err, context.Canceled):
		return refuse(ruleTime, "the client went away, or the gate is shutting down")
	case errors.As(err, &up):
		return refuse(ruleUpstream, "%s", up.text)
	}
	return refuse(ruleInternal, "the gate failed: %s", printable.ASCII(err.Error(), 200))
}
