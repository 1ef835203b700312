package pipelock

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/firewall"
)

// Lines as pipelock 2.3.0 writes them, cut anywhere.
func TestRedactor(t *testing.T) {
	t.Parallel()
	const key = "AKIA" + "Q3EGRIGHT5ABCDEF"
	for _, test := range []struct{ line, want string }{
		{
			`{"level":"warn","event":"blocked","method":"GET","url":"http://Deb.test/?x=` + key + `","request_id":"req-1","scanner":"core_dlp","reason":"core DLP match: AWS Access ID (critical)"}`,
			"{Kind:blocked Denied:true Method:GET Host:deb.test Scanner:core_dlp Reason:core DLP match: AWS Access ID (critical)}",
		},
		{
			`{"level":"warn","event":"blocked","method":"CONNECT","target":"a.test:443","scanner":"ssrf","reason":"SSRF check failed: lookup a.test on 10.2.3.4:53: no such host"}`,
			"{Kind:blocked Denied:true Method:CONNECT Host:a.test Scanner:ssrf Reason:SSRF check failed: lookup [redacted] on [redacted] no such host}",
		},
		{
			`{"level":"info","event":"forward_http","url":"http://u:` + key + `@deb.test/` + key + `","agent":"` + key + `"}`,
			"{Kind:forward_http Denied:false Method: Host:deb.test Scanner: Reason:}",
		},
		{
			`{"level":"info","event":"` + key + `","method":"` + key + `","scanner":"` + key + `","reason":"` + key + ` (` + key + `) x=` + key + `"}`,
			"{Kind:[redacted] Denied:false Method:[redacted] Host: Scanner:[redacted] Reason:[redacted] [redacted] [redacted]}",
		},
		{`{"level":"info","msg":"` + key + `"}`, ""},
		{"Pipelock v2.3.0 starting " + key, ""},
		{`{"event":"` + strings.Repeat("x", maxLine) + `"}`, ""},
		{`{"event":["` + key + `"]}`, ""},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			var got []string
			r := &redactor{record: func(e firewall.EngineEvent) { got = append(got, fmt.Sprintf("%+v", e)) }}
			for piece := range slices.Chunk([]byte(test.line+"\n"+`{"event":"next"}`+"\n"), size) {
				_, _ = r.Write(piece)
			}
			want := []string{"{Kind:next Denied:true Method: Host: Scanner: Reason:}"}
			if test.want != "" {
				want = slices.Insert(want, 0, test.want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%.80s:\n got %q\nwant %q", test.line, got, want)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	const hosts = "127.0.0.1 localhost\n 127.0.0.2\tA.test b.test # c.test\n#127.0.0.3 a.test\n::ffff:127.0.0.2 d.test.\n0x7f.1 a.test\r\na.test\n"
	for name, want := range map[string]string{
		"a.test": "[127.0.0.2 0x7f.1]", "b.test": "[127.0.0.2]", "c.test": "[]", "d.test": "[::ffff:127.0.0.2]", "127.0.0.2": "[]",
	} {
		if got := fmt.Sprint(lookup(hosts, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Whatever pipelock writes, nothing but plain words gets through.
func FuzzRedactor(f *testing.F) {
	f.Add([]byte(`{"event":"blocked","reason":"x=AKIA` + `Q3EGRIGHT5ABCDEF"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &redactor{record: func(e firewall.EngineEvent) {
			text := strings.ReplaceAll(e.Kind+e.Method+e.Scanner+e.Reason, "[redacted]", "")
			if strings.ContainsAny(text, "0123456789=\x1b\n") {
				t.Errorf("%+v", e)
			}
		}}
		_, _ = r.Write(data)
	})
}
