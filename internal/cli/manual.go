package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func manCommand() command {
	return command{
		name: "man", args: "DIR",
		summary: "write the manual pages",
		help: `One page for bottle and one for each command, from the same words as --help. The same
version writes the same bytes.

  bottle man ~/.local/share/man/man1`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(_ context.Context, s *session) error {
				dir, err := s.one("directory")
				if err != nil {
					return err
				}
				return s.writeManual(dir)
			}
		},
	}
}

func (s *session) writeManual(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of the manual: %w", err)
	}
	var problems []error
	for _, page := range manual() {
		path := filepath.Join(dir, page.name)
		if err := os.WriteFile(path, page.text, 0o644); err != nil {
			problems = append(problems, fmt.Errorf("writing the manual: %w", err))
			continue
		}
		fmt.Fprintln(s.Stdout, path)
	}
	return errors.Join(problems...)
}

// manualPage is a file of roff.
type manualPage struct {
	name string
	text []byte
}

// manual is a page for each command, and one for all of them.
func manual() []manualPage {
	pages := []manualPage{{"bottle.1", overviewPage()}}
	for _, c := range commands() {
		pages = append(pages, manualPage{"bottle-" + c.name + ".1", c.page()})
	}
	return pages
}

func overviewPage() []byte {
	var out bytes.Buffer
	heading(&out, "bottle", "runs an AI coding agent in a microVM without a network device")
	out.WriteString(".SH SYNOPSIS\n.B bottle\n.I COMMAND\n[flags]\n.SH COMMANDS\n")
	for _, c := range commands() {
		fmt.Fprintf(&out, ".TP\n.BR bottle\\-%s (1)\n%s\n", roff(c.name), roff(c.summary))
	}
	environmentSection(&out)
	fmt.Fprintf(&out, ".SH EXIT STATUS\n%s\n", roff(exitCodes))
	return out.Bytes()
}

func (c command) page() []byte {
	var out bytes.Buffer
	heading(&out, "bottle-"+c.name, c.summary)
	fmt.Fprintf(&out, ".SH SYNOPSIS\n.B bottle %s\n[flags]\n", roff(c.name))
	if c.args != "" {
		fmt.Fprintf(&out, ".I %s\n", roff(c.args))
	}
	blocks := blocksOf(c.help)
	writeBlocks(&out, "DESCRIPTION", blocks, false)
	out.WriteString(".SH OPTIONS\n")
	flags, _ := c.flags(&app.Config{})
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		out.WriteString(".TP\n")
		if flag.Shorthand != "" {
			fmt.Fprintf(&out, "\\fB\\-%s\\fR, ", flag.Shorthand)
		}
		kind, usage := pflag.UnquoteUsage(flag)
		fmt.Fprintf(&out, "\\fB\\-\\-%s\\fR", roff(flag.Name))
		if kind != "" && flag.NoOptDefVal == "" {
			fmt.Fprintf(&out, " \\fI%s\\fR", roff(kind))
		}
		fmt.Fprintf(&out, "\n%s\n", roff(usage))
	})
	writeBlocks(&out, "EXAMPLES", blocks, true)
	out.WriteString(".SH SEE ALSO\n.BR bottle (1)\n")
	return out.Bytes()
}

func heading(out *bytes.Buffer, name, summary string) {
	// No date: the same words are the same bytes.
	fmt.Fprintf(out, ".TH %s 1 \"\" bottle \"bottle manual\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(roff(name)), roff(name), roff(summary))
}

// writeBlocks writes the paragraphs, or the examples, of a help text as a section.
func writeBlocks(out *bytes.Buffer, title string, blocks []block, examples bool) {
	written := false
	for _, b := range blocks {
		if b.example != examples {
			continue
		}
		switch {
		case !written:
			fmt.Fprintf(out, ".SH %s\n", title)
		default:
			out.WriteString(".PP\n")
		}
		written = true
		if b.example {
			fmt.Fprintf(out, ".EX\n%s\n.EE\n", roff(b.text))
		} else {
			fmt.Fprintf(out, "%s\n", roff(b.text))
		}
	}
}

// roff escapes text: what begins a line with a dot is no request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// block is a paragraph of a help text, or some of its examples.
type block struct {
	example bool
	text    string // without the indent of an example
}

// blocksOf takes a help text apart: what is indented are examples.
func blocksOf(help string) []block {
	var blocks []block
	for paragraph := range strings.SplitSeq(strings.Trim(help, "\n"), "\n\n") {
		for line := range strings.SplitSeq(paragraph, "\n") {
			text, example := strings.CutPrefix(line, "  ")
			if last := len(blocks) - 1; last >= 0 && blocks[last].text != "" && blocks[last].example == example {
				blocks[last].text += "\n" + text
				continue
			}
			blocks = append(blocks, block{example, text})
		}
		blocks = append(blocks, block{}) // ends the paragraph
	}
	var found []block
	for _, b := range blocks {
		if b.text != "" {
			found = append(found, b)
		}
	}
	return found
}

// reference is all of --help as one page of Markdown.
func reference() string {
	remark := regexp.MustCompile(`(?m)^(\S.*? {3,}| {3,})(\S)`) // what an example is for
	var out strings.Builder
	out.WriteString("# The command line\n\n" +
		"Generated from `bottle COMMAND --help`: `go test ./internal/cli -run TestReference -update`.\n\n" +
		"```text\n" + overview() + "```\n\n" +
		"## Exit codes\n\n" + exitCodes + "\n\n## Environment\n\n" + environmentTable())
	for _, c := range commands() {
		flags, _ := c.flags(&app.Config{})
		fmt.Fprintf(&out, "\n## bottle %s\n\n%s.\n\n```text\nusage: %s\n\n%s```\n",
			c.name, strings.ToUpper(c.summary[:1])+c.summary[1:], c.synopsis(), flags.FlagUsages())
		for _, b := range blocksOf(c.help) {
			text := b.text
			if b.example {
				text = "```sh\n" + remark.ReplaceAllString(text, "$1# $2") + "\n```"
			}
			fmt.Fprintf(&out, "\n%s\n", text)
		}
	}
	return out.String()
}
