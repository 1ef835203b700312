package timeline_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"bottle.internal/internal/timeline"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ source, event, fields, want, target string }{
		{
			"egress", "deny", `{"event":"deny","time":"2026-01-02T12:00:00Z","id":7,"method":"GET","host":"api.test","port":443,"path":"/v2/","route":0,"rule":"path","reason":"path not in /v1/","status":403}`,
			"deny GET api.test/v2/ : path not in /v1/ (rule=path status=403)", "api.test/v2/",
		},
		{
			"firewall", "close", `{"event":"close","host":"api.test","port":8443,"bytes_up":12,"duration_ms":1.50}`,
			"close api.test:8443 (bytes_up=12 duration_ms=1.50)", "api.test:8443",
		},
		{
			"git-gate", "push-deny", `{"remote":"app","refs":[{"ref":"refs/heads/x","old":"0000000000000000","new":"aaaaaaaaaaaaaaaa"}],"rule":"workflow","reason":"changes a workflow"}`,
			"push-deny app refs/heads/x 0000000..aaaaaaa : changes a workflow (rule=workflow)", "app",
		},
		{"git-gate", "push-deny", `{"refs":[1]}`, "push-deny (refs=[1])", ""},
		{"supervise", "refused", `{"tool":"egress-allow","problem":"no host"}`, "refused : no host (tool=egress-allow)", "egress-allow"},
		{"vm", "exit", `{"code":3}`, "exit (code=3)", ""},
		{"init", "text", `{"text":"stopping\nnow\u001b[2J"}`, `stopping\nnow\x1b[2J`, ""},
		{"host", "x", `{"a":"two words","b":null,"c":{"d":1},"e":"","f":true}`, `x (a="two words" c={"d":1} f=true)`, ""},
		{"host", "x", `{"reason":"one","problem":"two"}`, "x : one: two", ""},
		{"host", "x", `no json`, "x no json", ""},
		{"host", "x", ``, "x", ""},
	} {
		record := timeline.Record{Source: timeline.Source(test.source), Event: test.event, Fields: json.RawMessage(test.fields)}
		if got := record.Describe(); got != test.want {
			t.Errorf("Describe(%s) = %s, want %s", test.fields, got, test.want)
		}
		if got := record.Target(); got != test.target {
			t.Errorf("Target(%s) = %q, want %q", test.fields, got, test.target)
		}
	}
}

// What the agent printed is one line that no terminal obeys.
func TestDescribeAgent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"hello\r\n":                           "hello",
		"\x1b[31mred\x1b[0m\n":                `\x1b[31mred\x1b[0m`,
		"a\n12:00:00.000 host      all well":  `a\n12:00:00.000 host      all well`,
		"50%\r100%":                           `50%\r100%`,
		"\u202e\xff":                          `\u202e\xff`,
		"größe 東京":                            "größe 東京",
		"\x1b]52;c;ZXZpbA==\a\x9b2J\u2028end": `\x1b]52;c;ZXZpbA==\x07\x9b2J\u2028end`,
	} {
		record := timeline.Record{Source: timeline.Agent, Event: "output", Text: text}
		if got := record.Describe(); got != want {
			t.Errorf("Describe(%q) = %q, want %q", text, got, want)
		}
	}
}

// A receipt has pages of probes: on one line it is said how many, and JSON has them all.
func TestDescribeLongLists(t *testing.T) {
	t.Parallel()
	probe := `{"probe":"tcp 127.0.0.1:40000","verdict":"passed","observed":"connection refused"}`
	long := strings.TrimSuffix(strings.Repeat(probe+",", 9), ",")
	table := `{"a":"` + strings.Repeat("0", 120) + `","b":"` + strings.Repeat("1", 120) + `"}`
	for fields, want := range map[string]string{
		`{"results":[` + long + `]}`:         "receipt (results=[9 entries])",
		`{"results":[` + long + `],"n":[1]}`: "receipt (n=[1] results=[9 entries])",
		`{"tools":` + table + `}`:            "receipt (tools={2 entries})",
	} {
		record := timeline.Record{Source: timeline.Host, Event: "receipt", Fields: json.RawMessage(fields)}
		if got := record.Describe(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("egress", "deny", `{"host":"a","refs":[{"ref":"x"}],"n":1e9}`, "\x1b[2J")
	f.Add("agent", "output", `null`, "a\nb")
	f.Fuzz(func(t *testing.T, source, event, fields, text string) {
		record := timeline.Record{Source: timeline.Source(source), Event: event, Fields: json.RawMessage(fields), Text: text}
		for _, got := range []string{record.Describe(), record.Target()} {
			if strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
				t.Errorf("%q is not safe", got)
			}
		}
	})
}
