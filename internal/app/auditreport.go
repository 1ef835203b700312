package app

import (
	"errors"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/audit/report"
	"bottle.internal/internal/names"
)

// ReportAudit tells what happened in a bottle, also in one that is gone. Head is what was
// printed at the end of its log, or empty. A broken log is no error: the report says so, and
// covers what is true.
func (a *App) ReportAudit(name, head string) (report.Report, error) {
	log, err := a.auditFile(name)
	if err != nil {
		return report.Report{}, err
	}
	log.expect.Head = head
	about := report.About{Name: name, Alive: log.expect.Live}
	if _, err := names.ParseIdentity(name); err == nil && !about.Alive {
		_, err := a.open(name)
		about.Kept = err == nil
	}
	builder := report.New()
	summary, err := log.scan(builder.Visit)
	if broken := (*audit.BrokenError)(nil); err != nil && !errors.As(err, &broken) {
		return report.Report{}, err
	}
	return builder.Report(about, log.expect, summary, err), nil
}
