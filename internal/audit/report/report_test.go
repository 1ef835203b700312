package report_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/audit/report"
	"bottle.internal/internal/audit/report/reporttest"
	"bottle.internal/tests/golden"
)

// read makes a report of a log.
func read(t testing.TB, log string, about report.About, expect audit.Expect) report.Report {
	t.Helper()
	expect.Key = reporttest.Key(t).Public()
	b := report.New()
	summary, err := audit.Scan(strings.NewReader(log), expect, b.Visit)
	if broken := (*audit.BrokenError)(nil); err != nil && !errors.As(err, &broken) {
		t.Fatal(err)
	}
	return b.Report(about, expect, summary, err)
}

// run is the log in which everything happens. Its batches do not depend on how fast it is
// written.
func run(t *testing.T) (log, head string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := reporttest.Run(t)
		head = w.Close()
		log = text(t, w.Path)
	})
	return log, head
}

func text(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func render(t testing.TB, r report.Report) (html, markdown string) {
	t.Helper()
	var page, md bytes.Buffer
	if err := errors.Join(report.HTML(&page, r), report.Markdown(&md, r)); err != nil {
		t.Fatal(err)
	}
	return page.String(), md.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	log, head := run(t)
	html, markdown := render(t, read(t, log, report.About{Name: "demo-x7k2p"}, audit.Expect{Head: head}))
	for name, got := range map[string]string{"run.html": html, "run.md": markdown} {
		golden.Check(t, "testdata/"+name, got)
	}
}
