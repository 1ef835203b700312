package report

import (
	"slices"
	"time"

	"bottle.internal/internal/audit"
)

// Class is what an event means to whoever looks at the picture.
type Class int

// The classes, in the order in which they are painted.
const (
	Plain Class = iota
	Allowed
	Decided
	Denied
	Alarmed

	numClasses
)

func (c Class) String() string { return [numClasses]string{"info", "ok", "ask", "no", "alarm"}[c] }

const (
	columns   = 240
	firstStep = 5 * time.Millisecond
	maxMarks  = 12
)

// Lane is one source in the picture of a run.
type Lane struct {
	Source Text
	Counts [numClasses]int
	Ticks  []Tick // by class, then from left to right
}

// Tick is what happened at one place of a lane.
type Tick struct {
	Class Class
	At    float64 // from 0 to 1
	Times int
}

// Mark is a moment that is worth a name.
type Mark struct {
	At   float64
	Name string
}

// timeline counts events by time without knowing when they will end: where they run out of
// columns, two of them become one.
type timeline struct {
	start, last time.Time
	step        time.Duration
	lanes       map[audit.Source]*row
	marks       []moment
}

type row [columns][numClasses]int

type moment struct {
	at   time.Duration
	name string
}

func newTimeline(start time.Time) timeline {
	return timeline{start: start, last: start, step: firstStep, lanes: map[audit.Source]*row{}}
}

func (t *timeline) add(at time.Time, source audit.Source, class Class) {
	if at.After(t.last) {
		t.last = at
	}
	switch source {
	case audit.Launch:
		source = audit.Host // one lane for what this side did
	case audit.Firewall, audit.Egress, audit.GitGate, audit.Supervise, audit.Echo, audit.Init, audit.Host:
	default:
		if class != Alarmed {
			return // the log's own records
		}
	}
	for t.column(at) >= columns {
		t.double()
	}
	lane := t.lanes[source]
	if lane == nil {
		lane = new(row)
		t.lanes[source] = lane
	}
	lane[t.column(at)][class]++
}

// column is where a time belongs; a clock that went back stays at the beginning.
func (t *timeline) column(at time.Time) int64 { return int64(max(0, at.Sub(t.start)) / t.step) }

func (t *timeline) double() {
	t.step *= 2
	for _, lane := range t.lanes {
		var half row
		for i, counts := range lane {
			for class, n := range counts {
				half[i/2][class] += n
			}
		}
		*lane = half
	}
}

func (t *timeline) mark(at time.Time, name string) {
	if len(t.marks) < maxMarks {
		t.marks = append(t.marks, moment{max(0, at.Sub(t.start)), name})
	}
}

// span is the time that the picture shows.
func (t *timeline) span() time.Duration { return max(time.Second, t.last.Sub(t.start)) }

func (t *timeline) picture() (lanes []Lane, marks []Mark) {
	span := float64(t.span())
	for _, source := range audit.Sources() {
		columns := t.lanes[source]
		if columns == nil {
			continue
		}
		lane := Lane{Source: text(string(source))}
		for class := range numClasses {
			for i, counts := range columns {
				if n := counts[class]; n > 0 {
					at := min(1, (float64(i)+0.5)*float64(t.step)/span)
					lane.Ticks = append(lane.Ticks, Tick{class, at, n})
					lane.Counts[class] += n
				}
			}
		}
		lanes = append(lanes, lane)
	}
	// The host comes first: it is the frame of the others.
	slices.SortStableFunc(lanes, func(a, b Lane) int { return rank(a) - rank(b) })
	for _, m := range t.marks {
		marks = append(marks, Mark{min(1, float64(m.at)/span), m.name})
	}
	return lanes, marks
}

func rank(l Lane) int {
	if l.Source.safe == string(audit.Host) {
		return 0
	}
	return 1
}
