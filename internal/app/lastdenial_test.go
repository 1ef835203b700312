package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the boundary's probes were refused is in the log, and is no denial of the agent's.
func TestLastDenialIsTheAgents(t *testing.T) {
	const (
		connect = `{"time":"2026-01-02T12:00:00Z","source":"firewall","event":"deny","fields":{"host":"192.0.2.2","port":4000}}`
		plain   = `{"time":"2026-01-02T12:00:01Z","source":"firewall","event":"deny","fields":{"host":"http://[fd00::2]:4001/"}}`
		agents  = `{"time":"2026-01-02T11:00:00Z","source":"firewall","event":"deny","fields":{"host":"a.test","port":443}}`
		receipt = `{"time":"2026-01-02T12:00:02Z","source":"host","event":"receipt","fields":{"results":[` +
			`{"probe":"tcp a.test:443","target":"a.test:443"},` +
			`{"probe":"proxy connect 192.0.2.2:4000","target":"192.0.2.2:4000"},` +
			`{"probe":"proxy plain [fd00::2]:4001","target":"[fd00::2]:4001"}]}}`
		other = `{"time":"2026-01-02T12:00:02Z","source":"egress","event":"receipt","fields":{"results":[{"probe":"proxy connect 192.0.2.2:4000","target":"192.0.2.2:4000"}]}}`
	)
	later := strings.Replace(connect, "12:00:00", "12:00:03", 1)
	muchLater := strings.Replace(connect, "12:00:00", "12:00:09", 1)
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"only probes", []string{connect, plain, receipt}, ""},
		{"the agent's before them", []string{agents, connect, plain, receipt}, "a.test"},
		{"the agent's after them", []string{connect, plain, receipt, agents}, "a.test"},
		{"as often as it was probed", []string{connect, connect, receipt}, "192.0.2.2:4000"},
		{"probed twice", []string{connect, receipt, connect, receipt}, ""},
		{"the firewall's line came late", []string{agents, plain, receipt, later}, "a.test"},
		{"the agent's own, of the same target", []string{plain, receipt, muchLater}, "192.0.2.2:4000"},
		{"only the host writes receipts", []string{connect, other}, "192.0.2.2:4000"},
		{"no receipt", []string{connect}, "192.0.2.2:4000"},
	} {
		a := newApp(t)
		path := a.auditLog("demo-aaaaa")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(test.lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		if denial := a.lastDenial("demo-aaaaa"); denial != nil {
			got = denial.Target
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
