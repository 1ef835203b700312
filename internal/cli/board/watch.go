package board

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/printable"
)

// watchEvery is how often watch looks into the queues.
const watchEvery = 200 * time.Millisecond

// change is one line.
type change struct {
	Time    time.Time  `json:"time"`
	Event   string     `json:"event"` // proposed, decided, settled or gone
	Bottle  string     `json:"bottle"`
	ID      string     `json:"id"`
	Status  ask.Status `json:"status"`
	Summary string     `json:"summary"`
	Note    string     `json:"note,omitempty"`
	Problem string     `json:"problem,omitempty"`
}

// Watch follows the queues of one bottle, or of all.
type Watch struct {
	App      *app.App
	Identity string // empty: all
	Out      io.Writer
}

// Lines writes a line for each change until ctx ends, which is how it ends well. What cannot
// be read is told to warn, once.
func (w Watch) Lines(ctx context.Context, asJSON bool, warn func(problem string)) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	follower := follower{last: map[string]app.Proposal{}, told: map[string]bool{}}
	for {
		rows, problems := w.App.Proposals(ctx, w.Identity)
		for _, c := range follower.follow(rows, time.Now()) {
			if err := writeChange(w.Out, asJSON, c); err != nil {
				return err
			}
		}
		for _, problem := range follower.news(problems) {
			warn(problem)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// follower finds what changed between two looks.
type follower struct {
	last  map[string]app.Proposal
	told  map[string]bool
	begun bool
}

// follow returns the changes since the last call. The first look tells what waits, and
// nothing about what is over.
func (f *follower) follow(rows []app.Proposal, now time.Time) []change {
	var changes []change
	add := func(what string, p app.Proposal) {
		c := change{Time: now.UTC(), Event: what, Bottle: p.Identity, ID: p.Proposal.ID, Status: p.Status, Summary: Summary(p)}
		if p.Decision != nil {
			c.Note = p.Decision.Note
		}
		if p.Outcome != nil {
			c.Problem = p.Outcome.Problem
		}
		changes = append(changes, c)
	}
	there := map[string]app.Proposal{}
	for _, p := range rows {
		id := p.Identity + p.Proposal.ID
		there[id] = p
		before, known := f.last[id]
		if !known && (f.begun || p.Status == ask.Pending) {
			add("proposed", p)
		}
		if known && before.Decision == nil && p.Decision != nil && p.Outcome == nil {
			add("decided", p)
		}
		if p.Outcome != nil && before.Outcome == nil && (known || f.begun) {
			add("settled", p)
		}
	}
	for id, p := range f.last {
		if _, still := there[id]; !still && p.Outcome == nil {
			add("gone", p)
		}
	}
	f.last, f.begun = there, true
	return changes
}

// news are the problems that were not told before.
func (f *follower) news(problems []error) []string {
	var texts []string
	for _, problem := range problems {
		if text := problem.Error(); !f.told[text] {
			f.told[text] = true
			texts = append(texts, text)
		}
	}
	return texts
}

func writeChange(w io.Writer, asJSON bool, c change) error {
	if asJSON {
		raw, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		_, err = fmt.Fprintln(w, printable.SafeJSON(string(raw)))
		return err
	}
	line := fmt.Sprintf("%s %s %s %s %s: %s", c.Time.Format(time.RFC3339), c.Bottle, c.Event, c.ID[:12], c.Status, printable.SafeLine(c.Summary))
	if c.Note != "" {
		line += " (" + printable.SafeLine(c.Note) + ")"
	}
	if c.Problem != "" {
		line += ": " + printable.SafeLine(c.Problem)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
