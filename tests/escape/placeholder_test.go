//go:build integration && linux

package escape

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/plan"
	"bottle.internal/tests/eventually"
)

// record is what the tests ask of a line of the audit log.
type record struct {
	Time   time.Time      `json:"time"`
	Source string         `json:"source"`
	Event  string         `json:"event"`
	Fields map[string]any `json:"fields"`
}

// audited reads the audit log of the bottle so far. A line that is being written is left out.
func (s *scene) audited(t *testing.T, id string) []record {
	t.Helper()
	file, err := os.Open(filepath.Join(s.StateDir(), ".audit", id+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var list []record
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			list = append(list, r)
		}
	}
	return list
}

// told counts the lines of a source and event that are about a host; "" is any.
func told(list []record, source, event, host string) (n int) {
	for _, r := range list {
		if r.Source == source && (event == "" || r.Event == event) && strings.HasPrefix(fmt.Sprint(r.Fields["host"]), host) {
			n++
		}
	}
	return n
}

// misplaced sends the placeholder where it does not belong: somebody tries to use what looks
// like a credential.
func misplaced(t *testing.T, s *scene) {
	const wrong = "open.bottle.test"
	hello := func(host string, head ...string) attack {
		return attack{Probe: probe.Probe{Kind: "hello", Target: host + ":443", Via: proxy}, Say: append([]string{host}, head...)}
	}
	get := func(host, path string, more ...string) attack {
		return hello(host, append([]string{"GET " + path + " HTTP/1.1", "Host: " + host, "Connection: close"}, more...)...)
	}
	none := func() (string, error) { return "the same without it, above", nil }
	body := "x=" + plan.Placeholder
	list := []attempt{
		{name: "the placeholder at its own host", attack: get("api.bottle.test", "/v1/x", "Authorization: Bearer "+plan.Placeholder), reaches: true},
		{name: "no placeholder at another host", attack: get(wrong, "/v1/x"), reaches: true},
		{name: "placeholder at a wrong host: Authorization", attack: get(wrong, "/v1/x", "Authorization: Bearer "+plan.Placeholder)},
		{name: "placeholder at a wrong host: x-api-key", attack: get(wrong, "/v1/x", "x-api-key: "+plan.Placeholder)},
		{name: "placeholder at a wrong host: path", attack: get(wrong, "/v1/"+plan.Placeholder)},
		{name: "placeholder at a wrong host: query", attack: get(wrong, "/v1/x?q="+plan.Placeholder)},
		{name: "placeholder at a wrong host: body", attack: hello(wrong, "POST /v1/x HTTP/1.1", "Host: "+wrong, "Content-Type: application/x-www-form-urlencoded", "Connection: close", fmt.Sprintf("Content-Length: %d", len(body)), "", body)},
	}
	sent := 0
	for i := range list {
		if !list[i].reaches {
			list[i].control, list[i].saying, list[i].expected = none, "403", "403"
			sent++
		}
	}
	before, echoed := s.audited(t, s.id), s.echoed(t, wrong)
	s.attempts(t, list)
	var counted, arrived int
	for begin := time.Now(); time.Since(begin) < eventually.Patience; time.Sleep(50 * time.Millisecond) {
		after := s.audited(t, s.id)
		counted = told(after, "egress", "exfiltration", wrong) - told(before, "egress", "exfiltration", wrong)
		arrived = s.echoed(t, wrong) - echoed
		if counted >= sent && arrived >= 1 {
			break
		}
	}
	problem := ""
	if counted != sent || arrived != 1 {
		problem = "it was not counted, or it arrived"
	}
	table.add(t, row{
		probe: "placeholder at a wrong host: the audit log", control: "the request without it is in the upstream's log",
		expected: fmt.Sprintf("%d exfiltration attempts, 1 request arrived", sent),
		observed: fmt.Sprintf("%d exfiltration attempts, %d arrived", counted, arrived),
	}, problem)
}

// echoed counts the requests for a host that have reached the upstream of the bottle itself.
func (s *scene) echoed(t *testing.T, host string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.StateDir(), s.id, "bundle.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), `"server_name":"`+host+`"`)
}
