package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// planDiff prints what today's manifest would change for a bottle.
func (s *session) planDiff(ctx context.Context, identity string, format format) error {
	agent, err := s.agent()
	if err != nil {
		return err
	}
	diff, err := s.app.DiffPlan(ctx, identity, agent)
	if err != nil {
		return err
	}
	if format == formatJSON {
		return writeSafeJSON(s.Stdout, diff)
	}
	if diff.Changes.Empty() {
		fmt.Fprintf(s.Stderr, "nothing: the manifest would give %s what it has\n", identity)
		return nil
	}
	fmt.Fprint(s.Stdout, s.highlight(diff.Changes.Text()))
	return nil
}

// highlight makes the lines that begin with "!" bold and red, for eyes only.
func (s *session) highlight(text string) string {
	file, ok := s.Stdout.(*os.File)
	if !ok || s.plain || !term.IsTerminal(int(file.Fd())) {
		return text
	}
	return coloured(text)
}

func coloured(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "!") {
			line = "\x1b[1;31m" + strings.TrimSuffix(line, "\n") + "\x1b[0m\n"
		}
		b.WriteString(line)
	}
	return b.String()
}
