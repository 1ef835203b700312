package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	auditreport "bottle.internal/internal/audit/report"
	"bottle.internal/internal/printable"
)

// auditReport writes what happened in a bottle, as Markdown to stdout if nothing else is
// asked for. A broken log is reported as far as it is true, and is a failure all the same.
func (s *session) auditReport(f auditFlags) error {
	switch {
	case f.source != "" || f.event != "":
		return &usageError{text: "--source and --event are for show"}
	case *f.format != formatText:
		return &usageError{text: "a report is --markdown or --html"}
	case f.head != "" && !headHash.MatchString(f.head):
		return &usageError{text: "--head is a hash of 64 hexadecimal digits"}
	case f.html == "-" && f.markdown == "-":
		return &usageError{text: "only one of --html and --markdown can go to stdout"}
	}
	name, err := s.one("bottle")
	if err != nil {
		return err
	}
	made, err := s.app.ReportAudit(name, f.head)
	if err != nil {
		return err
	}
	if f.html == "" && f.markdown == "" {
		f.markdown = "-"
	}
	if err := errors.Join(s.writeReport(f.markdown, made, auditreport.Markdown), s.writeReport(f.html, made, auditreport.HTML)); err != nil {
		return err
	}
	if !made.Chain.OK {
		return fmt.Errorf("the audit log of %s is broken: %s", printable.SafeText(name), made.Chain.Problem)
	}
	return nil
}

func (s *session) writeReport(path string, made auditreport.Report, write func(io.Writer, auditreport.Report) error) error {
	switch path {
	case "":
		return nil
	case "-":
		return write(s.Stdout, made)
	}
	err := writeWhole(path, func(w io.Writer) error { return write(w, made) })
	if err == nil {
		fmt.Fprintf(s.Stderr, "bottle: wrote %s\n", printable.SafeText(path))
	}
	return err
}

// writeWhole replaces a file with a new one that only its owner can read, or leaves it as it
// was. What is no regular file is not replaced.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there and no regular file", printable.SafeText(path))
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if err := write(file); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return file.Close()
}
