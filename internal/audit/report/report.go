// Package report tells a person what happened in a bottle, from its audit log.
//
// A [Builder] takes the lines of a log one by one and makes a [Report] of them; [Markdown]
// and [HTML] write the same report down.
//
// Invariants: only what a good signature covers is in a report, of a broken log as of a
// good one; what is not signed yet is in it only while its bottle runs, and it says so. The
// memory is bounded whatever the log holds, and what is left out is counted. What a guest
// could have written is [Text], which has no way to a page but through its escapes. A page
// loads nothing, runs nothing and leads nowhere.
package report

import (
	"strings"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/printable"
)

// Text is text from outside: one line of printable ASCII, everything else is escaped.
type Text struct{ safe string }

func (t Text) String() string { return t.safe }

// Empty reports whether there is no text.
func (t Text) Empty() bool { return t.safe == "" }

const (
	maxText   = 200 // bytes of one value
	maxDetail = 400 // bytes of all values of an event
)

func text(raw string) Text { return Text{printable.ASCII(strings.TrimSpace(raw), maxText)} }

// About is what the log itself does not say.
type About struct {
	Name  string // the identity or the file that was asked for
	Alive bool   // somebody owns the bottle
	Kept  bool   // it can be resumed
}

// Report is what a log says.
type Report struct {
	Name  Text
	Alive bool
	Chain Chain

	First, Last time.Time
	Runs        []Run
	MissingRuns int

	Numbers  Numbers
	Alarms   []Alarm
	Hosts    []Host
	Denials  []Denial
	Held     []Held
	Pushes   []Push
	Asked    []Decision
	Receipts []Receipt
	Missing  Missing

	Events  []Event // the first
	Skipped int     // between the first and the last
	Tail    []Event // the last
}

// Missing counts what found no room.
type Missing struct{ Alarms, Hosts, Targets, Pushes, Asked, Receipts int }

// Chain is what the check of the log found.
type Chain struct {
	OK      bool
	Problem string // where it stops being true
	Kind    audit.Kind
	LeftOut int    // lines before that which nobody signed
	Asked   string // the head that had to be reached, or empty
	Live    bool
	audit.Summary
}

// Numbers are the key figures.
type Numbers struct {
	Active                                          time.Duration // of all runs, without what is between them
	Events, Allowed, Requests, Denied, Held, Failed int
	Reached                                         int // hosts
	Up, Down                                        int64
	Taken, Refused                                  int // pushes
	Approved, Rejected, Open                        int // of what the agent asked for
	Alarms                                          int
	Logins, Tokens                                  int // that the host gave
}

// Run is one launch of the bottle, or one resume.
type Run struct {
	Number                                            int
	Identity, Agent, Bottle, Manifest, Firewall, Tool Text
	Details                                           []Pair // everything else that the launch said
	Start, End                                        time.Time
	Resumed, Fresh                                    bool
	Began, Ended                                      time.Time // the agent
	Exit                                              string    // how it ended
	Problem                                           Text
	Stopped                                           bool
	Kept                                              bool
	Lanes                                             []Lane
	Marks                                             []Mark
	Span                                              time.Duration
}

// Pair is a name and its value.
type Pair struct{ Name, Value Text }

// Alarm is what a person should look at first.
type Alarm struct {
	Kind, Source, Target, What Text
	Cut                        string // "stopped", "only reported", or empty where it is not known
	Times                      int
	First, Last                time.Time
}

// Host is what went to one destination.
type Host struct {
	Target                  Text
	Methods                 []Count
	Allowed, Denied, Failed int
	Up, Down                int64
	Routed                  bool // through egress
	First, Last             time.Time
}

// Count is how often something was seen.
type Count struct {
	Name  Text
	Times int
}

// Denial is what was refused for one reason.
type Denial struct {
	Source, Rule Text
	Times        int
	Targets      []Target
	Others       int // refusals of targets that are not listed
}

// Target is what was refused.
type Target struct {
	Name, Reason Text
	Times        int
	First, Last  time.Time
}

// Held counts what was not written one by one.
type Held struct {
	Source Text
	Times  int
}

// Push is one push to git-gate.
type Push struct {
	At                  time.Time
	Serial              uint64
	Remote              Text
	Refs                []Ref
	Commits, Objects    int
	Bytes               int64
	Verdict             Verdict
	Approval            Text // what the operator said
	Reason, Rule, Where Text // never what was found there
}

// Ref is what a push moves.
type Ref struct{ Name, Old, New Text }

// Verdict is what became of a push.
type Verdict string

// The verdicts.
const (
	Taken   Verdict = "taken"
	Refused Verdict = "refused"
	Unknown Verdict = "started, and the log has no end of it"
	Asked   Verdict = "waits for an answer"
)

// Decision is what the agent asked for, and what the operator said.
type Decision struct {
	Asked, At          time.Time // At is zero while nobody decided
	Kind, What, Reason Text
	Status             Text
	By, Note, Problem  Text
	Force              string // whether it is still in force
}

// Receipt is what the probes of a launch saw.
type Receipt struct {
	At      time.Time
	Details []Pair
	Probes  []Probe
	Others  int
}

// Probe is one line of a receipt.
type Probe struct {
	Name, Target, Control, Expected, Observed, Verdict Text
	Bad                                                bool
}

// Event is one line of the log.
type Event struct {
	Seq           uint64
	At            time.Time
	Source, Event Text
	Details       Text
	Class         Class
}
