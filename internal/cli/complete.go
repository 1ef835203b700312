package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/audit"
	"bottle.internal/internal/cli/board"
	"bottle.internal/internal/names"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/timeline"
)

const (
	// completeVerb is what the shells' scripts ask. It is in no overview.
	completeVerb = "__complete"
	// completeFiles is the line that asks the shell for file names too.
	completeFiles = ":files"
)

// choice is something that a word can become.
type choice struct{ value, about string }

// completer answers one question of a shell. It says nothing about what goes wrong: there
// is nobody to read it.
type completer struct {
	config app.Config
	bash   bool // which takes --flag=value for three words
	files  bool // names of files fit too
}

// complete writes what the last of the words can become, one choice a line with what it is
// about behind a tab. The first word names the shell.
func complete(ctx context.Context, w io.Writer, config app.Config, words []string) {
	if len(words) < 2 {
		return
	}
	c := completer{config: config, bash: words[0] == "bash"}
	words = words[1:]
	if c.bash {
		words = joinAssignments(words)
	}
	current := words[len(words)-1]
	var out strings.Builder
	for _, found := range c.choices(ctx, words) {
		if !strings.HasPrefix(found.value, current) {
			continue
		}
		if _, value, ok := strings.Cut(found.value, "="); ok && c.bash && strings.Contains(current, "=") {
			found.value = value
		}
		out.WriteString(strings.TrimSuffix(printable.SafeLine(found.value)+"\t"+printable.SafeLine(found.about), "\t") + "\n")
	}
	if c.files {
		out.WriteString(completeFiles + "\n")
	}
	_, _ = io.WriteString(w, out.String())
}

// joinAssignments undoes bash's breaking of words at "=".
func joinAssignments(words []string) []string {
	var joined []string
	for i, word := range words {
		last := len(joined) - 1
		switch {
		case word == "=" && last >= 0 && strings.HasPrefix(joined[last], "--"):
			joined[last] += "="
		case i > 0 && words[i-1] == "=" && last >= 0 && strings.HasSuffix(joined[last], "="):
			joined[last] += word
		default:
			joined = append(joined, word)
		}
	}
	return joined
}

func (c *completer) choices(ctx context.Context, words []string) []choice {
	verb, current, before := words[0], words[len(words)-1], words[1:max(1, len(words)-1)]
	if len(words) == 1 || verb == "help" && len(words) == 2 {
		return verbs()
	}
	at := slices.IndexFunc(commands(), func(known command) bool { return known.name == verb })
	if at < 0 {
		return nil
	}
	known := commands()[at]
	flags, _ := known.flags(&c.config)
	pending := waitingFlag(flags, before)
	if pending != nil {
		before = before[:len(before)-1]
	}
	_ = flags.Parse(before) // as far as it goes: --manifest counts from here on
	guest := slices.Contains(before, "--") || verb == "exec" && flags.NArg() > 0
	name, _, assigns := strings.Cut(strings.TrimPrefix(current, "--"), "=")
	switch {
	case pending != nil:
		return c.values(pending, "", current)
	case guest:
		c.files = true
		return nil
	case strings.HasPrefix(current, "--") && assigns:
		if flag := flags.Lookup(name); flag != nil {
			return c.values(flag, "--"+name+"=", current)
		}
		return nil
	case strings.HasPrefix(current, "-"):
		return flagNames(flags)
	}
	return c.arguments(ctx, known, flags.Args())
}

func verbs() []choice {
	all := []choice{{"help", "explain a command"}}
	for _, known := range commands() {
		all = append(all, choice{known.name, known.summary})
	}
	return all
}

func flagNames(flags *pflag.FlagSet) []choice {
	all := []choice{{"--help", "explain the command"}}
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			_, usage := pflag.UnquoteUsage(flag)
			all = append(all, choice{"--" + flag.Name, usage})
		}
	})
	return all
}

// waitingFlag is the flag that the next word is the value of.
func waitingFlag(flags *pflag.FlagSet, before []string) *pflag.Flag {
	if len(before) == 0 {
		return nil
	}
	last := before[len(before)-1]
	var flag *pflag.Flag
	switch name, long := strings.CutPrefix(last, "--"); {
	case long && name != "" && !strings.Contains(name, "="):
		flag = flags.Lookup(name)
	case !long && len(last) == 2 && last[0] == '-':
		flag = flags.ShorthandLookup(last[1:])
	}
	if flag == nil || flag.NoOptDefVal != "" {
		return nil
	}
	return flag
}

// values are what a flag takes. Its usage names the kind, as in --help.
func (c *completer) values(flag *pflag.Flag, prefix, current string) []choice {
	kind, _ := pflag.UnquoteUsage(flag)
	var values []string
	switch kind {
	case "format":
		values = []string{string(formatText), string(formatJSON)}
	case "file", "dir", "directory":
		c.files = true
	case "source":
		values = strings.Split(join(audit.Sources()), ", ")
	case "sources":
		if comma := strings.LastIndexByte(current, ','); comma >= 0 {
			prefix = current[:comma+1]
		}
		values = strings.Split(join(timeline.Sources()), ", ")
	}
	var all []choice
	for _, value := range values {
		all = append(all, choice{value: prefix + value})
	}
	return all
}

// arguments are what can come after the arguments that are there. The usage line says it:
// a word in small letters is itself, one in capitals is a kind.
func (c *completer) arguments(ctx context.Context, known command, given []string) []choice {
	var all []choice
	for usage := range strings.SplitSeq(known.args, " | ") {
		fields := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(usage))
		if len(fields) == 0 {
			continue
		}
		if last := fields[len(fields)-1]; strings.HasSuffix(last, "...") {
			for len(fields) <= len(given) {
				fields = append(fields, last)
			}
		}
		if len(fields) <= len(given) || !slices.EqualFunc(fields[:len(given)], given, fits) {
			continue
		}
		for kind := range strings.SplitSeq(strings.TrimSuffix(fields[len(given)], "..."), "|") {
			for _, found := range c.kind(ctx, kind, known.name, given) {
				if !slices.Contains(all, found) && !slices.Contains(given, found.value) {
					all = append(all, found)
				}
			}
		}
	}
	return all
}

func fits(field, word string) bool {
	return strings.ToLower(field) != field || slices.Contains(strings.Split(field, "|"), word)
}

func (c *completer) kind(ctx context.Context, kind, verb string, given []string) []choice {
	if strings.ToLower(kind) == kind {
		return []choice{{value: kind}}
	}
	switch kind {
	case "FILE", "DIR":
		c.files = true
		return nil
	case "METHOD":
		return []choice{{value: "GET"}, {value: "HEAD"}, {value: "POST"}, {value: "PUT"}, {value: "PATCH"}, {value: "DELETE"}}
	}
	application, err := app.New(c.config)
	if err != nil {
		return nil
	}
	switch kind {
	case "AGENT":
		return agents(application)
	case "IDENTITY":
		return identities(ctx, application, verb)
	case "ARGUMENT": // of supervise
		if given[0] == "list" || given[0] == "watch" {
			return identities(ctx, application, verb)
		}
		return proposals(ctx, application, given[0])
	}
	return nil
}

func agents(application *app.App) []choice {
	names, err := application.Agents()
	if err != nil {
		return nil
	}
	var all []choice
	for _, name := range names {
		all = append(all, choice{name, "agent"})
	}
	return all
}

// identities are the bottles that a verb can be about.
func identities(ctx context.Context, application *app.App, verb string) []choice {
	var all []choice
	rows, _ := application.List(ctx)
	for _, row := range rows {
		running := row.State == "running"
		switch verb {
		case "exec", "shell", "attach":
			if !running {
				continue
			}
		case "resume":
			if running {
				continue
			}
		}
		all = append(all, choice{row.Identity, row.State})
	}
	if verb != "logs" && verb != "audit" {
		return all
	}
	logs, _ := application.AuditLogs()
	for _, name := range logs {
		if _, err := names.ParseIdentity(name); err == nil && !slices.ContainsFunc(all, func(c choice) bool { return c.value == name }) {
			all = append(all, choice{name, "gone"})
		}
	}
	return all
}

func proposals(ctx context.Context, application *app.App, verb string) []choice {
	var all []choice
	rows, _ := application.Proposals(ctx, "")
	for _, p := range rows {
		if verb == "show" || p.Status == ask.Pending {
			all = append(all, choice{p.Short(), fmt.Sprintf("%s: %s", p.Identity, board.Summary(p))})
		}
	}
	return all
}
