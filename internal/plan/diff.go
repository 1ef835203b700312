package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/printable"
)

// Effect is what a change does to the agent's power.
type Effect string

// The effects. What is not known to be harmless widens.
const (
	Widens  Effect = "widens"
	Narrows Effect = "narrows"
	Differs Effect = "changes" // neither gives nor takes
)

// Change is one difference between two plans. Old and New are texts for people; a value of
// a variable is never in them.
type Change struct {
	Effect Effect `json:"effect"`
	Field  string `json:"field"`
	Old    string `json:"old"`
	New    string `json:"new"`
	At     string `json:"at,omitempty"` // where the new one is written
}

// Changes are the differences in the order of a plan; what widens is not sorted to the
// front, but marked.
type Changes []Change

// Empty reports whether nothing changed.
func (c Changes) Empty() bool { return len(c) == 0 }

// Widens reports whether the agent can do something that it could not do before.
func (c Changes) Widens() bool {
	return slices.ContainsFunc(c, func(change Change) bool { return change.Effect == Widens })
}

// Text has a line for each change; one that widens begins with "!". Text from a manifest
// cannot move the cursor or forge a line.
func (c Changes) Text() string {
	var b strings.Builder
	for _, change := range c {
		mark := " "
		if change.Effect == Widens {
			mark = "!"
		}
		line := fmt.Sprintf("%s %-8s %s: %s -> %s", mark, change.Effect, change.Field, change.Old, change.New)
		if change.At != "" {
			line += " (" + change.At + ")"
		}
		b.WriteString(printable.SafeText(strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(line)) + "\n")
	}
	return b.String()
}

// Diff says what a bottle that was planned as before would get by after. It ignores where
// things are written, warnings, and what follows from the rest: names of the machine,
// daemons, ports, and the variables of the boundary.
func Diff(before, after Plan) Changes {
	d := &differ{list: Changes{}}
	d.agent(before, after)
	d.prompt(before, after)
	d.skills(before, after)
	d.files(before, after)
	d.env(before, after)
	d.remotes(before, after)
	d.hosts(before, after)
	d.switches(before, after)
	d.machine(before, after)
	return d.list
}

func (d *differ) agent(before, after Plan) {
	at := after.Manifest.At
	d.value(Differs, "format", strconv.Itoa(before.Format), strconv.Itoa(after.Format), "")
	d.value(Differs, "identity", before.Identity, after.Identity, "")
	d.value(Differs, "agent", before.Agent, after.Agent, at)
	d.value(Differs, "bottle", before.Bottle, after.Bottle, at)
	d.value(Differs, "template", before.Template, after.Template, at)
	d.value(Differs, "manifest", before.Manifest.Path, after.Manifest.Path, "")
	d.flag(Widens, "manifest is not your own", before.Manifest.FromCwd, after.Manifest.FromCwd, at)
	d.value(Differs, "command", quoteCommand(before.Command), quoteCommand(after.Command), at)
	d.value(Differs, "workdir", before.Workdir, after.Workdir, at)
	d.value(Differs, "state directories", strings.Join(before.StateDirs, " "), strings.Join(after.StateDirs, " "), "")
}

// prompt: a file is something of the host that the agent gets to read.
func (d *differ) prompt(before, after Plan) {
	x, y, at := before.Prompt, after.Prompt, after.Manifest.At
	was, is := textLines(x.Text), textLines(y.Text)
	if x.Text != y.Text && y.Text != "" {
		is += " of another text"
	}
	d.value(Differs, "prompt", was, is, at)
	effect := Widens
	if y.File == "" {
		effect = Narrows
	}
	d.value(effect, "prompt file", x.File, y.File, at)
	effect = Widens
	if x.Root == "" {
		effect = Narrows
	}
	if x.File != "" && y.File != "" {
		d.value(effect, "prompt file stays in", orAny(x.Root), orAny(y.Root), at)
	}
}

func orAny(dir string) string { return cmp.Or(dir, "any directory") }

func (d *differ) skills(before, after Plan) {
	text := func(s *Skill) string {
		if s == nil {
			return ""
		}
		return s.Dir + " in " + s.Root
	}
	for _, p := range pairs(before.Skills, after.Skills, func(s Skill) string { return s.Name }) {
		effect := Widens
		if p.after == nil {
			effect = Narrows
		}
		d.value(effect, "skill "+p.key, text(p.before), text(p.after), after.Manifest.At)
	}
}

func (d *differ) files(before, after Plan) {
	for _, p := range pairs(before.Files, after.Files, func(f File) string { return f.Path }) {
		field := "settings file " + p.key
		switch {
		case p.before == nil:
			d.add(Differs, field, "", "written by the template", "")
		case p.after == nil:
			d.add(Differs, field, "written by the template", "", "")
		case p.before.Text != p.after.Text:
			d.add(Differs, field, "a text", "another text", "")
		}
	}
}

// env leaves out what the boundary sets: it follows from the rest.
func (d *differ) env(before, after Plan) {
	own := func(p Plan) []Env {
		return slices.DeleteFunc(slices.Clone(p.Env), func(e Env) bool { return e.Source == SourceBottle || e.Source == SourceLaunch })
	}
	for _, p := range pairs(own(before), own(after), func(e Env) string { return e.Name }) {
		was, is := p.before != nil && p.before.Visible(), p.after != nil && p.after.Visible()
		effect := Differs
		switch {
		case is && (!was || p.after.Source == "host" && p.after.From != p.before.From):
			effect = Widens
		case was && !is:
			effect = Narrows
		}
		x, y, at := envText(p.before), envText(p.after), ""
		if p.after != nil {
			at = p.after.At
		}
		if x == y && p.before.Value != p.after.Value {
			y += " (another value)"
		}
		d.value(effect, "env "+p.key, x, y, at)
	}
}

// envText never has the value.
func envText(e *Env) string {
	switch {
	case e == nil:
		return ""
	case e.Source == "host":
		return "the host's " + e.From + ", visible to the agent"
	case e.Source == "prompt":
		return "asked at the start (" + e.From + "), visible to the agent"
	case e.Source == SourceTemplate:
		return "set by the template"
	}
	return "written in the manifest"
}

func (d *differ) switches(before, after Plan) {
	d.flag(Widens, "supervise", before.Supervise, after.Supervise, after.At["supervise"])
	effect := Narrows
	if after.OnCanary == "warn" {
		effect = Widens
	}
	d.value(effect, "on_canary", cmp.Or(before.OnCanary, "cut"), cmp.Or(after.OnCanary, "cut"), after.At["on_canary"])
	d.set(Differs, "echo names", before.Echo, after.Echo, has, after.At["echo"])
	d.value(Differs, "played model", cmp.Or(before.Model, "none"), cmp.Or(after.Model, "none"), "")
	d.set(Widens, "approved by the demo itself", before.DemoApproves, after.DemoApproves, has, "")
	// Each engine scans what the other does not.
	d.value(Widens, "firewall engine", before.Firewall.Engine, after.Firewall.Engine, "")
}

// machine: a stand-in shows behaviour, and isolates less.
func (d *differ) machine(before, after Plan) {
	x, y := before.VM, after.VM
	effect := Differs
	switch smolvm {
	case x.Tool:
		effect = Widens
	case y.Tool:
		effect = Narrows
	}
	d.value(effect, "vm tool", x.Tool, y.Tool, "")
	d.value(Differs, "vm tool's version", x.Version, y.Version, "")
	d.value(Differs, "cpus", strconv.Itoa(x.CPUs), strconv.Itoa(y.CPUs), after.At["cpus"])
	d.value(Differs, "memory", fmt.Sprintf("%d MiB", x.MemoryMiB), fmt.Sprintf("%d MiB", y.MemoryMiB), after.At["memory"])
	d.value(Differs, "disk", fmt.Sprintf("%d GiB", x.DiskGiB), fmt.Sprintf("%d GiB", y.DiskGiB), after.At["disk"])
	d.value(Differs, "image", imageText(before.Image), imageText(after.Image), "")
	d.set(Differs, "image tools", before.Image.Tools, after.Image.Tools, has, "")
}

func imageText(i Image) string { return strings.TrimSpace(fmt.Sprintf("%s %.12s", i.Recipe, i.Key)) }
