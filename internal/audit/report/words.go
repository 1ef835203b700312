package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/bytesize"
)

// tile is one key number.
type tile struct{ Name, Value, Note, Class string }

func tiles(r Report) []tile {
	n := r.Numbers
	list := []tile{
		{"duration", span(n.Active), fmt.Sprintf("%s, %s", plural(len(r.Runs)+r.MissingRuns, "run"), plural(n.Events, "event")), ""},
		{"hosts reached", fmt.Sprint(n.Reached), fmt.Sprintf("%s, %s", plural(n.Allowed, "connection"), plural(n.Requests, "routed request")), ""},
		{"sent", bytesize.Of(n.Up), "bytes out", ""},
		{"received", bytesize.Of(n.Down), "bytes in", ""},
		{"refused", fmt.Sprint(n.Denied + n.Held), "requests; " + plural(n.Failed, "failure"), classIf("no", n.Denied+n.Held)},
		{"pushes taken", fmt.Sprint(n.Taken), fmt.Sprintf("%d refused", n.Refused), ""},
		{"asked and approved", fmt.Sprint(n.Approved), fmt.Sprintf("%d refused, %d open", n.Rejected, n.Open), ""},
		{"alarms", fmt.Sprint(n.Alarms), "canaries and the like", classIf("no", n.Alarms)},
	}
	return list
}

// Reached are the hosts that are allowed, whatever became of it.
func (r Report) Reached() []Host {
	return slices.DeleteFunc(slices.Clone(r.Hosts), Host.refused)
}

// OnlyRefused are the other hosts.
func (r Report) OnlyRefused() []Host {
	return slices.DeleteFunc(slices.Clone(r.Hosts), func(h Host) bool { return !h.refused() })
}

func (h Host) refused() bool { return h.Allowed == 0 && h.Failed == 0 && !h.Routed }

func classIf(class string, n int) string {
	if n == 0 {
		return ""
	}
	return class
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// span is a duration as a person says it.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// headline is the report in one line.
func headline(r Report) string {
	if r.First.IsZero() {
		return "The log holds nothing that is signed."
	}
	when := fmt.Sprintf("%s to %s UTC", r.First.UTC().Format(time.DateTime), r.Last.UTC().Format(time.DateTime))
	if r.Alive {
		when += "; the bottle is running"
	}
	return when
}

// Covered is how many lines a report of the log covers.
func (c Chain) Covered() uint64 { return c.Lines - min(c.Lines, uint64(max(0, c.LeftOut))) }

// facts are what there is to say of a run, in the order in which it is read.
func facts(r Run) []Pair {
	var list []Pair
	add := func(name string, value Text) {
		if !value.Empty() {
			list = append(list, Pair{Text{name}, value})
		}
	}
	add("Identity", r.Identity)
	add("Agent", r.Agent)
	add("Bottle", r.Bottle)
	add("Manifest", r.Manifest)
	add("Began", Text{r.Start.UTC().Format(time.DateTime) + " UTC"})
	add("Took", Text{took(r)})
	add("Agent's end", Text{r.end()})
	add("Problem", r.Problem)
	add("Firewall", r.Firewall)
	add("VM tool", r.Tool)
	for _, pair := range r.Details {
		add(strings.ReplaceAll(pair.Name.safe, "_", " "), pair.Value)
	}
	return list
}

func took(r Run) string {
	all := span(r.End.Sub(r.Start))
	if !r.Began.IsZero() && !r.Ended.IsZero() {
		all += ", the agent " + span(r.Ended.Sub(r.Began))
	}
	return all
}

func (r Run) end() string {
	switch {
	case r.Exit == "" && r.Began.IsZero():
		return "the log does not tell"
	case r.Exit == "":
		return "not in the log"
	case r.Stopped && r.Kept:
		return r.Exit + "; the machine is kept for a resume"
	}
	return r.Exit
}
