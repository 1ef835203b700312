package launch

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/event"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
)

// Secrets is what the host holds for the daemons of the bundle, beside what a launch makes
// itself.
type Secrets struct {
	Tokens            overseer.Tokens
	Remotes           map[string]overseer.Identity // by the remote's name; not of echo remotes
	UpstreamCAs       map[string][]byte            // PEM, by the path that the plan names
	UpstreamProxy     string                       // egress's, or ""
	UpstreamProxyAuth secret.Value                 // user:password, or empty
	// PipelockSHA256 is the digest of the operator's engine, hex, or "".
	PipelockSHA256 string
}

// Audit is where everything that happens is written down; [*audit.Log] is one.
type Audit interface {
	Append(ctx context.Context, r audit.Record) error
	Bundle() io.WriteCloser
	Hide(values ...secret.Value)
	Done() <-chan struct{}
	Err() error
}

// oversee makes the host's side of the daemons: rules, tokens, keys and the queue of what
// the agent asks for.
func (b *Bottle) oversee(ctx context.Context) error {
	// First of all lines: it binds the log to this bottle.
	b.audit(ctx, audit.Launch, "launch", map[string]any{
		"identity": b.plan.Identity, "agent": b.plan.Agent, "bottle": b.plan.Bottle, "manifest": b.plan.Manifest.Path,
		"firewall": b.plan.Firewall.Engine, "vm_tool": b.deps.Tool.Name + " " + b.deps.Tool.Version.String(), "recipe_key": b.plan.Image.Key,
		"canaries": b.alarm.fingerprints(),
	})
	if b.kept != nil {
		b.audit(ctx, audit.Host, eventResumed, map[string]any{"fresh": b.kept.Fresh})
	}
	remotes := maps.Clone(b.deps.Secrets.Remotes)
	if remotes == nil {
		remotes = map[string]overseer.Identity{}
	}
	maps.Copy(remotes, b.trust.remotes)
	o, err := overseer.New(ctx, overseer.Config{
		Plan: b.plan, Instance: b.instance.Dir(), Authority: b.trust.egress, EchoCA: b.trust.echoCA,
		Tokens: b.deps.Secrets.Tokens, Remotes: remotes,
		UpstreamCAs: b.deps.Secrets.UpstreamCAs, UpstreamProxy: b.deps.Secrets.UpstreamProxy, UpstreamProxyAuth: b.deps.Secrets.UpstreamProxyAuth,
		PipelockSHA256: b.deps.Secrets.PipelockSHA256,
		Canaries:       b.alarm.planted.Values,
		Alarm: func(seen canary.Sighting) {
			b.tally.Sighted(seen)
			b.alarmed(seen)
		},
		Say:  func(text string) { b.say(ctx, event.Info, "supervise", text) },
		Hide: b.deps.Audit.Hide,
		Audit: func(name string, fields map[string]any) {
			b.decided(context.WithoutCancel(ctx), name, fields)
		},
		Now: b.deps.Now,
	})
	if err != nil {
		return err
	}
	b.overseer = o
	b.undo.Push("the answers to the daemons", func(context.Context) error { return o.Close() })
	b.deps.Audit.Hide(o.Secrets()...)
	return nil
}

// decided writes down what became of the agent's requests, here and in the receipt.
func (b *Bottle) decided(ctx context.Context, name string, fields map[string]any) {
	b.audit(ctx, audit.Host, name, fields) // supervise, in the bundle, cannot say so
	if name != proposal.EventDecision {
		return
	}
	what := []string{fmt.Sprint(fields["kind"])}
	for _, key := range []string{"host", "remote", "ref", "capability"} {
		if value, ok := fields[key]; ok {
			what = append(what, fmt.Sprint(value))
		}
	}
	b.tally.Decided(strings.Join(what, " "), fmt.Sprint(fields["status"]))
}

// audit writes down what the host itself saw. A log that fails stops the bottle, see Run.
func (b *Bottle) audit(ctx context.Context, source audit.Source, name string, fields map[string]any) {
	_ = b.deps.Audit.Append(ctx, audit.Record{Source: source, Event: name, Fields: fields})
}

// untilAuditFails ends its context when nothing can be written down any more: what is not
// recorded must not happen.
func (b *Bottle) untilAuditFails(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-b.deps.Audit.Done():
			cancel(fmt.Errorf("stopping the bottle: %w", b.deps.Audit.Err()))
		case <-stop:
		}
	}()
	return ctx, func() {
		close(stop)
		<-done
		cancel(nil)
	}
}
