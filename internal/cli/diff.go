package cli

import (
	"context"
	"fmt"
	"io"
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
	fmt.Fprint(s.Stdout, highlight(s.Stdout, diff.Changes.Text()))
	return nil
}

// highlight makes the lines that begin with "!" bold and red, for eyes only.
func highlight(w io.Writer, text string) string {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
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
