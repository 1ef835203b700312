package cli

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/tests/docs"
)

// Every command line of bottle in the pages, in a block or in a sentence, is one that this
// version understands.
func TestCommandsInTheDocs(t *testing.T) {
	t.Parallel()
	pages, err := docs.All("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	understood := func(page string, line int, words []string) {
		seen++
		if problem := understand(words); problem != "" {
			t.Errorf("%s:%d: bottle %s: %s", page, line, strings.Join(words, " "), problem)
		}
	}
	for _, page := range pages {
		commands, err := page.Commands()
		if err != nil {
			t.Error(err)
		}
		for _, command := range commands {
			for _, call := range command.Calls {
				if call.Words[0] == "bottle" {
					understood(page.Name, command.Line, call.Words[1:])
				}
			}
		}
		messages, err := docs.Rows("../..", page.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range page.Spans {
			if page.Name == "docs/troubleshooting.md" && slices.Contains(messages, span.Text) {
				continue
			}
			rest, ours := strings.CutPrefix(span.Text, "bottle ")
			if ours && regexp.MustCompile(`^[a-z][a-z-]+( |$)`).MatchString(rest) {
				understood(page.Name, span.Line, sentence(rest))
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d commands were found", seen)
	}
}

// sentence is a command line as a text quotes it: with placeholders, choices and what may be
// left out.
func sentence(text string) []string {
	text = redirect.ReplaceAllString(text, "")
	text = regexp.MustCompile(`[\[\]]|\.\.\.`).ReplaceAllString(text, "")
	return exampleWord.FindAllString(text, -1)
}

// understand says what is wrong with a command line.
func understand(words []string) string {
	if words[0] == "COMMAND" || words[0] == "help" {
		return ""
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == words[0] })
	if i < 0 {
		return "there is no such command"
	}
	flags, _ := all[i].flags(&app.Config{})
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Value.Type() != "bool" {
			flag.Value = anything{flag.Value.Type()} // a placeholder stands for any value
		}
	})
	err := flags.Parse(words[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if flags.NArg() > 0 && all[i].args == "" {
		return "it takes no arguments"
	}
	choices, _, _ := strings.Cut(strings.Trim(all[i].args, "[].)"), " ")
	if strings.Contains(choices, "|") && choices == strings.ToLower(choices) && flags.NArg() > 0 &&
		!slices.Contains(strings.Split(choices, "|"), flags.Arg(0)) {
		return flags.Arg(0) + " is none of " + choices
	}
	return ""
}

type anything struct{ kind string }

func (anything) String() string   { return "" }
func (anything) Set(string) error { return nil }
func (a anything) Type() string   { return a.kind }

func TestUnderstand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"start demo --detach":          "",
		"audit verify [IDENTITY|FILE]": "",
		"start demo --detatch":         "unknown flag: --detatch",
		"run demo":                     "there is no such command",
		"list demo":                    "it takes no arguments",
		"supervise grant 3fa8":         "grant is none of list|show|approve|reject|watch",
		"list --help":                  "",
	} {
		if got := understand(sentence(line)); got != want {
			t.Errorf("understand(%q) = %q, want %q", line, got, want)
		}
	}
}
