//go:build integration && linux

package escape

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bottle.internal/tests/eventually"
)

// clock puts the guest's one year off, both ways. The host neither believes it nor writes it
// down; what the guest then makes of certificates is its own loss.
func clock(t *testing.T, s *scene) {
	defer func() { s.in(t, s.id, "root", fmt.Sprintf("date -s @%d >/dev/null", time.Now().Unix())) }()
	for _, years := range []int{1, -1} {
		began := time.Now()
		before := len(s.audited(t, s.id))
		wrong := time.Now().AddDate(years, 0, 0)
		set := s.in(t, s.id, "root", fmt.Sprintf("date -s @%d >/dev/null && date +%%Y", wrong.Unix()))
		problem := ""
		if set.Code != 0 || strings.TrimSpace(set.Stdout) != wrong.UTC().Format("2006") {
			problem = "its clock did not move"
		}
		said := s.in(t, s.id, "", "curl -s -o /dev/null -w 'TLS %{http_code}, curl exits %{exitcode}' https://echo.bottle.test/; curl -s -o /dev/null -w ', plain %{http_code}' http://plain.bottle.test/bytes/1")
		lines := s.auditedSince(t, before)
		late := 0
		for _, r := range lines {
			if r.Time.Before(began.Add(-5*time.Second)) || r.Time.After(time.Now().Add(5*time.Second)) {
				late++
			}
		}
		if problem == "" && (late > 0 || len(lines) == 0) {
			problem = fmt.Sprintf("%d of %d lines of the audit log are not of the host's time", late, len(lines))
		}
		if problem == "" && !strings.HasSuffix(said.Stdout, "plain 200") {
			problem = "it does not work any more"
		}
		table.add(t, row{
			probe: fmt.Sprintf("the guest's clock, %+d year", years), control: "the guest says it is " + strings.TrimSpace(set.Stdout),
			expected: "TLS refused by the guest or working; the audit log has the host's time",
			observed: fmt.Sprintf("%s; %d lines of the host's time", strings.ReplaceAll(strings.TrimSpace(said.Stdout), "\n", " "), len(lines)),
		}, problem)
	}
}

// auditedSince waits for what the last request has to leave in the log.
func (s *scene) auditedSince(t *testing.T, before int) []record {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		list := s.audited(t, s.id)[before:]
		if told(list, "firewall", "allow", "plain.bottle.test") > 0 || time.Since(begin) > eventually.Patience {
			return list
		}
	}
}
