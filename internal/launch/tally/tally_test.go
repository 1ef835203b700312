package tally

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/canary"
)

func quiet(canary.Sighting) {}

func TestTallyOfHostileLines(t *testing.T) {
	t.Parallel()
	deny := func(host, reason string) string {
		return fmt.Sprintf("firewall| {\"event\":\"deny\",\"host\":%q,\"port\":443,\"reason\":%q}\n", host, reason)
	}
	allow := func(host string) string {
		return fmt.Sprintf("firewall| {\"event\":\"allow\",\"host\":%q,\"port\":443}\n", host)
	}
	long := strings.Repeat("x", maxLine+1)
	for _, test := range []struct{ name, log, want string }{
		{"nothing", "", ""},
		{"two of each", allow("a.test") + allow("a.test") + deny("b.test", "not listed"), "  allowed  a.test:443  2 times\n  refused  b.test:443  once: not listed\n"},
		{"another daemon's line", "supervise| {\"event\":\"allow\",\"host\":\"a.test\",\"port\":443}\n", ""},
		{
			"egress", `egress| {"event":"deny","method":"DELETE","host":"a.test","port":443,"path":"/v1/","reason":"not among the methods"}` + "\n" +
				`egress| {"event":"canary","host":"a.test","port":443,"where":"headers"}` + "\n",
			"  ALARM    canary to a.test:443  once: in the headers\n  refused  DELETE a.test:443/v1/  once: not among the methods\n",
		},
		{
			"pushes", `git-gate| {"event":"push-allow","remote":"app","refs":[{"ref":"refs/heads/bottle/x"}]}` + "\n" +
				`git-gate| {"event":"push-deny","remote":"app","refs":[{"ref":"refs/heads/bottle/x"}],"reason":"a secret was found","rule":"github-pat","path":"a.md","line":3}` + "\n",
			"  pushed   app bottle/x  once\n  refused  push to app bottle/x  once: a secret was found (github-pat, a.md:3)\n",
		},
		{"our prefix in the middle", "egress| firewall| {\"event\":\"allow\",\"host\":\"a.test\",\"port\":443}\n", ""},
		{"no JSON", "firewall| hello\nfirewall| {\"event\":\"allow\"\nfirewall| []\nfirewall| \n", ""},
		{"an unknown event", "firewall| {\"event\":\"start\",\"host\":\"a.test\"}\n", ""},
		{"half a line is no line", strings.TrimSuffix(allow("a.test"), "\n"), ""},
		{
			"a newline cannot begin another entry", deny("x\n  allowed  evil.test:443  once", "why\n\tnot"),
			`  refused  x\n  allowed  evil.test:443  once:443  once: why\n\tnot` + "\n",
		},
		{
			"control characters", "firewall| {\"event\":\"deny\",\"host\":\"\\u001b[2Jx\",\"reason\":\"\\u202e\\r\"}\n",
			`  refused  \x1b[2Jx  once: \u202e\r` + "\n",
		},
		{"a long host is cut", allow(strings.Repeat("a", 300)), "  allowed  " + strings.Repeat("a", 200) + "...  once\n"},
		{"after a line that is too long", long + "\n" + allow("a.test"), "  allowed  a.test:443  once\n"},
		{"the end of a line that is too long", long + allow("evil.test") + allow("a.test"), "  allowed  a.test:443  once\n"},
		{"an entry where the patience ends", long[1:] + allow("evil.test") + allow("a.test"), "  allowed  a.test:443  once\n"},
		{"more than there are numbers for", strings.Repeat("firewall| {\"event\":\"suppressed\",\"count\":9223372036854775807}\n", 2), "  refused  others  9223372036854775807 times\n"},
		{"what the firewall suppressed", "firewall| {\"event\":\"suppressed\",\"count\":7}\nfirewall| {\"event\":\"suppressed\",\"count\":-5}\n", "  refused  others  7 times\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 7, 4096, 1 << 20} { // however the pipe cuts it
				tally := New(quiet)
				for log := test.log; log != ""; {
					n := min(size, len(log))
					if wrote, err := tally.Write([]byte(log[:n])); wrote != n || err != nil {
						t.Fatalf("Write = %d, %v", wrote, err)
					}
					log = log[n:]
				}
				if got := tally.String(); got != test.want {
					t.Fatalf("in pieces of %d:\n%swant\n%s", size, got, test.want)
				}
			}
		})
	}
}

// What the probes of the launch are refused is in the audit log, and no deed of the agent.
func TestTallyLeavesTheProbesOut(t *testing.T) {
	t.Parallel()
	tally := New(quiet)
	tally.Expect("a.test:443")
	for range 3 {
		fmt.Fprintf(tally, "firewall| {\"event\":\"deny\",\"host\":\"a.test\",\"port\":443,\"reason\":\"not listed\"}\n")
	}
	if got, want := tally.String(), "  refused  a.test:443  2 times: not listed\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A guest that asks for ever new hosts fills neither the memory nor the screen.
func TestTallyOfAFlood(t *testing.T) {
	t.Parallel()
	tally := New(quiet)
	for i := range 5000 {
		fmt.Fprintf(tally, "firewall| {\"event\":\"deny\",\"host\":\"h%d.test\",\"port\":443,\"reason\":\"not listed\"}\n", i)
	}
	for i := range 300 {
		fmt.Fprintf(tally, "firewall| {\"event\":\"allow\",\"host\":\"a%d.test\",\"port\":443}\n", i)
	}
	text := tally.String()
	if lines := strings.Count(text, "\n"); lines != 2*(maxKeys+1) {
		t.Errorf("%d lines", lines)
	}
	for _, want := range []string{"  refused  others  4900 times\n", "  allowed  others  200 times\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	for range 100 {
		_, _ = tally.Write([]byte(strings.Repeat("y", 64<<10)))
	}
	if cap(tally.rest) > 2*maxLine {
		t.Errorf("%d bytes are kept of a line without end", cap(tally.rest))
	}
}

// FuzzTally: nothing panics, and however hostile the log, each line of the receipt is one
// that we began.
func FuzzTally(f *testing.F) {
	f.Add("firewall| {\"event\":\"deny\",\"host\":\"x\\n  allowed  y\",\"reason\":\"\\u001b[0m\"}\n", uint8(3))
	f.Add("firewall| {\"event\":\"suppressed\",\"count\":9223372036854775807}\nfirewall| {\"event\":\"suppressed\",\"count\":1}\n", uint8(200))
	f.Add("egress| {\"event\":\"canary\",\"host\":\"x\\n  allowed  y\",\"where\":\"\\u001b[0m\"}\n", uint8(9))
	f.Add("git-gate| {\"event\":\"push-allow\",\"remote\":\"app\",\"refs\":[{\"ref\":\"refs/heads/x\\n  allowed  y\"}]}\n", uint8(40))
	f.Fuzz(func(t *testing.T, log string, cut uint8) {
		tally := New(quiet)
		at := min(int(cut), len(log))
		_, _ = tally.Write([]byte(log[:at]))
		_, _ = tally.Write([]byte(log[at:]))
		entries := 0
		for _, label := range labels() {
			entries += len(tally.counts[label]) + min(tally.more[label], 1)
		}
		if lines := strings.Count(tally.String(), "\n"); lines != entries {
			t.Errorf("%d lines of %d entries:\n%s", lines, entries, tally)
		}
		for line := range strings.Lines(tally.String()) {
			label, _, _ := strings.Cut(strings.TrimPrefix(line, "  "), " ")
			if !strings.HasPrefix(line, "  ") || !slices.Contains(labels(), label) || strings.ContainsAny(line, "\x1b\r\u202e") {
				t.Errorf("line %q", line)
			}
		}
	})
}
