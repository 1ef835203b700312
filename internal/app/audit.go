package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/event"
	"bottle.internal/internal/names"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/state"
)

// AuditReport is what the check of one audit log found.
type AuditReport struct {
	Log  string `json:"log"` // the identity or the file, as it was asked for
	File string `json:"file"`
	OK   bool   `json:"ok"`
	// Where it stops being true, if it is not OK. The rest is then of the lines before.
	Line    uint64     `json:"line,omitempty"`
	Kind    audit.Kind `json:"kind,omitempty"`
	Problem string     `json:"problem,omitempty"`
	audit.Summary
}

// auditFile is a log to read.
type auditFile struct {
	name, path string
	identity   names.Identity // whose log it must be; empty for a file that was named
	expect     audit.Expect
}

// keptLogs is how many audit logs of bottles outlive them; older ones make way.
const keptLogs = 200

// AuditLogs names the bottles that have an audit log, also those that are gone, the oldest
// log first.
func (a *App) AuditLogs() (identities []string, problems []error) {
	entries, err := os.ReadDir(filepath.Join(a.state.Dir(), state.AuditDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{fmt.Errorf("looking for audit logs: %w", err)}
	}
	written := map[string]time.Time{}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		if _, err := names.ParseIdentity(name); !ok || err != nil {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue // it has just gone
		}
		identities, written[name] = append(identities, name), info.ModTime()
	}
	slices.SortFunc(identities, func(x, y string) int {
		return cmp.Or(written[x].Compare(written[y]), cmp.Compare(x, y))
	})
	return identities, nil
}

// openAudit opens the audit log of a bottle that is launched, and lets old ones go.
func (a *App) openAudit(id names.Identity) (*audit.Log, error) {
	key, err := audit.LoadKey(a.auditKey(), rand.Reader)
	if err != nil {
		return nil, err
	}
	logs, problems := a.AuditLogs()
	for len(logs) >= keptLogs && len(problems) == 0 {
		if old, err := a.open(logs[0]); err != nil || !old.Owned() {
			_ = os.Remove(a.auditLog(names.Identity(logs[0]))) // else the next launch tries again
		}
		logs = logs[1:]
	}
	return audit.Open(a.auditLog(id), key, time.Now)
}

// closeAudit says how the log ends, so that a tail that is cut off later is seen.
func (a *App) closeAudit(ctx context.Context, identity string, log *audit.Log) error {
	if err := log.Close(); err != nil {
		return fmt.Errorf("closing the audit log: %w", err)
	}
	head := log.Head()
	a.events.Send(context.WithoutCancel(ctx), event.Event{Kind: event.Info, Step: "audit", Text: fmt.Sprintf(
		"%d lines; to check them: bottle audit verify %s --head %s", head.Lines, identity, head.Hash)})
	return nil
}

func (a *App) auditLog(id names.Identity) string {
	return filepath.Join(a.state.Dir(), state.AuditLog(id))
}

// VerifyAudit checks the audit log of a bottle, or a file. Head is what was printed at its
// end, or empty. A log that is broken is no error, but a report of it.
func (a *App) VerifyAudit(name, head string) (AuditReport, error) {
	log, err := a.auditFile(name)
	if err != nil {
		return AuditReport{}, err
	}
	log.expect.Head = head
	report := AuditReport{Log: name, File: log.path}
	report.Summary, err = log.scan(nil)
	if broken := (*audit.BrokenError)(nil); errors.As(err, &broken) {
		report.Line, report.Kind, report.Problem = broken.Line, broken.Kind, broken.Error()
		return report, nil
	}
	report.OK = err == nil
	return report, err
}

// ShowAudit visits the lines of an audit log as far as they are true. What is wrong with
// the next one is the error.
func (a *App) ShowAudit(name string, visit func(audit.Line) error) error {
	log, err := a.auditFile(name)
	if err != nil {
		return err
	}
	_, err = log.scan(visit)
	if broken := (*audit.BrokenError)(nil); errors.As(err, &broken) {
		return &Problem{Text: fmt.Sprintf("the audit log of %s is broken: %v", name, broken), Hints: []string{"bottle audit verify " + name}}
	}
	return err
}

func (l auditFile) scan(visit func(audit.Line) error) (audit.Summary, error) {
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Summary{}, &Problem{Text: fmt.Sprintf("there is no audit log %s", l.path)}
	}
	if err != nil {
		return audit.Summary{}, fmt.Errorf("opening the audit log: %w", err)
	}
	defer file.Close()
	return audit.Scan(file, l.expect, func(line audit.Line) error {
		if err := l.own(line); err != nil || visit == nil {
			return err
		}
		return visit(line)
	})
}

// own refuses the true log of another bottle, put in the place of this one's.
func (l auditFile) own(line audit.Line) error {
	if l.identity == "" || line.Source != audit.Launch || line.Event != "launch" {
		return nil
	}
	var fields struct{ Identity names.Identity }
	if err := json.Unmarshal(line.Fields, &fields); err != nil || fields.Identity != l.identity {
		return &audit.BrokenError{Line: line.Seq, Kind: audit.Misplaced, Text: fmt.Sprintf("is of another bottle, %s", printable.Escaped(string(fields.Identity), 100))}
	}
	return nil
}

// auditFile finds a log. What is no identity is a path; a file that is named like one can
// be given as ./name.
func (a *App) auditFile(name string) (auditFile, error) {
	log := auditFile{name: name, path: name}
	if id, err := names.ParseIdentity(name); err == nil {
		log.path, log.identity = a.auditLog(id), id
		if instance, err := a.open(name); err == nil {
			log.expect.Live = instance.Owned()
		}
	} else if !filepath.IsAbs(name) {
		log.path = filepath.Join(a.config.Dir, name)
	}
	key, err := audit.ReadKey(a.auditKey())
	if errors.Is(err, fs.ErrNotExist) {
		return log, &Problem{Text: "this host has no audit key: no bottle was started here", Hints: []string{"verify a log on the host that wrote it"}}
	}
	if err != nil {
		return log, err
	}
	log.expect.Key = key.Public()
	return log, nil
}

func (a *App) auditKey() string { return filepath.Join(a.state.Dir(), state.AuditKey) }
