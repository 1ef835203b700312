package docs

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is one statement of a block of shell.
type Command struct {
	Page  string
	Line  int
	Text  string // without comments
	Want  string // what the page shows it to print
	Shows bool   // the page shows what it prints
	Calls []Call // every simple command in it
	stmt  *syntax.Stmt
}

// Call is one program with its arguments; words that only a shell knows stand as they are
// written.
type Call struct {
	Words []string
	call  *syntax.CallExpr
}

// Commands are the statements of the page's shell blocks, in order.
func (p Page) Commands() ([]Command, error) {
	var commands []Command
	for _, block := range p.Blocks {
		var found []Command
		var err error
		switch block.Lang {
		case "sh":
			found, err = statements(block.Text, block.Line)
		case "console":
			found, err = session(block)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		for i := range found {
			found[i].Page = p.Name
		}
		commands = append(commands, found...)
	}
	return commands, nil
}

// session takes a block apart that has commands behind $ and what they print.
func session(block Block) ([]Command, error) {
	var commands []Command
	for i, line := range strings.SplitAfter(block.Text, "\n") {
		typed, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			if len(commands) == 0 {
				return nil, fmt.Errorf("line %d: a console begins with a command", block.Line+i)
			}
			commands[len(commands)-1].Want += line
			continue
		}
		found, err := statements(typed, block.Line+i)
		if err != nil {
			return nil, err
		}
		for _, one := range found {
			one.Shows = true
			commands = append(commands, one)
		}
	}
	return commands, nil
}

func statements(text string, line int) ([]Command, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, fmt.Errorf("line %d is no shell: %w", line, err)
	}
	var commands []Command
	for _, stmt := range file.Stmts {
		command := Command{Line: line + int(stmt.Pos().Line()) - 1, Text: shell(stmt), stmt: stmt}
		syntax.Walk(stmt, func(node syntax.Node) bool {
			if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
				command.Calls = append(command.Calls, Call{words(call), call})
			}
			return true
		})
		commands = append(commands, command)
	}
	return commands, nil
}

func words(call *syntax.CallExpr) []string {
	list := make([]string, 0, len(call.Args))
	for _, word := range call.Args {
		text := word.Lit()
		if text == "" {
			text = strings.Trim(shell(word), `'"`)
		}
		list = append(list, text)
	}
	return list
}

// With is the text of the command with one more argument for every call that begins with
// these words.
func (c Command) With(argument string, first ...string) string {
	word := &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: argument}}}
	for _, call := range c.Calls {
		if len(call.Words) >= len(first) && slices.Equal(call.Words[:len(first)], first) {
			call.call.Args = append(call.call.Args, word)
		}
	}
	text := shell(c.stmt)
	for _, call := range c.Calls {
		call.call.Args = slices.DeleteFunc(call.call.Args, func(w *syntax.Word) bool { return w == word })
	}
	return text
}

func shell(node syntax.Node) string {
	var out strings.Builder
	_ = syntax.NewPrinter().Print(&out, node) // a Builder takes everything
	return strings.TrimSpace(out.String())
}
