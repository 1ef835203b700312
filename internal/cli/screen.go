package cli

import (
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"bottle.internal/internal/termsafe"
)

// rawFlag lifts the filter between the guest and the person's terminal.
func rawFlag(flags *pflag.FlagSet) *bool {
	return flags.Bool("raw", false, "pass everything to the terminal, also what it would obey (clipboard, files, answers)")
}

// screen stands between a guest and the session's output. What goes to a terminal is
// filtered, unless raw; a pipe or a file gets what the guest wrote. Whatever way the guest ends, reset
// leaves a terminal that a person can work with.
func (s *session) screen() (stdout, stderr io.Writer, reset func()) {
	var filters []*termsafe.Filter
	guard := func(w io.Writer) io.Writer {
		if !isTerminal(w) {
			return w
		}
		filter := termsafe.New(w)
		if s.raw {
			filter = termsafe.NewRaw(w)
		}
		filters = append(filters, filter)
		return filter
	}
	stdout, stderr = guard(s.Stdout), guard(s.Stderr)
	return stdout, stderr, func() {
		for _, filter := range filters {
			_ = filter.Close() // a terminal that is gone needs no reset
			if filter.Asked() && s.Stdin != nil {
				// An answer that nobody waits for any more must not be typed into a shell.
				_ = flushInput(int(s.Stdin.Fd()))
			}
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
