//go:build integration && linux

package escape

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"bottle.internal/internal/printable"
)

// maxCell bounds a cell of the table, in bytes.
const maxCell = 96

// row is one line of the table.
type row struct{ probe, control, expected, observed string }

// ledger collects the rows of all parts, in the order of their end.
type ledger struct {
	mu   sync.Mutex
	rows []row
}

// add writes a row down, and fails the test for a problem.
func (l *ledger) add(t *testing.T, r row, problem string) {
	t.Helper()
	if problem != "" {
		t.Errorf("%s: %s\n  control: %s\n  expected: %s\n  observed: %s", r.probe, problem, r.control, r.expected, r.observed)
		r.observed = "FAILED, " + problem + ": " + r.observed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, r)
}

// String is the table. What a guest said cannot begin another line.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "probe\t| control\t| expected\t| observed")
	for _, r := range l.rows {
		fmt.Fprintf(table, "%s\t| %s\t| %s\t| %s\n", cell(r.probe), cell(r.control), cell(r.expected), cell(r.observed))
	}
	_ = table.Flush() // a strings.Builder does not fail
	return out.String()
}

func cell(text string) string { return printable.ASCII(text, maxCell) }

// publish shows the table. `go test` keeps the output of a package that passes to itself
// when it runs many, so CI reads the file.
func (l *ledger) publish() error {
	if len(l.rows) == 0 {
		return nil
	}
	text := l.String()
	fmt.Print(text)
	if path := os.Getenv("BOTTLE_ESCAPE_TABLE"); path != "" {
		return os.WriteFile(path, []byte(text), 0o600)
	}
	return nil
}
