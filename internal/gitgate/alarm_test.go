package gitgate

import (
	"strings"
	"testing"

	fake "bottle.internal/internal/canary"
)

// A push that holds a canary raises the alarm, once, beside its refusal. The name of a branch
// is looked at before any other rule tells it. The cases share a log, in order.
func TestAlarm(t *testing.T) {
	const canary = "canary-Zx81-9d2f7a"
	w := newWorld(t, func(_ *world, c *Config) { c.Canaries = []string{canary} })
	w.seed()
	for i, test := range []struct {
		name, refspec, want string
		make                func(dir string)
		alarm               line
	}{
		{"an intermediate commit", "HEAD", "a.txt:2, rule canary", func(dir string) {
			w.commit(dir, "a.txt", "x\n"+canary)
			w.commit(dir, "a.txt", "clean")
		}, line{Where: "objects", Path: "a.txt", Line: 2}},
		{"a branch", "HEAD:refs/heads/bottle/" + strings.ToUpper(canary), "a secret was found in the name of the branch, rule canary", func(dir string) {
			w.commit(dir, "b.txt", "clean")
		}, line{Where: "name of the branch"}},
		{"a tag, which is refused anyway", "HEAD:refs/tags/" + canary, "a secret was found in the name of the branch, rule canary", func(dir string) {
			w.commit(dir, "b.txt", "clean")
		}, line{Where: "name of the branch"}},
		{"a file below a directory", "HEAD", "rule canary", func(dir string) {
			write(t, dir+"/"+canary+"/sub/x", canary)
			w.commit(dir, "b.txt", "clean")
		}, line{Where: "objects"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := w.clone("alarm" + string(rune('a'+i)))
			test.make(dir)
			w.refused(dir, test.want, "origin", test.refspec)
			alarms := w.events("canary")
			if len(alarms) != i+1 {
				t.Fatalf("%d alarms: %+v", len(alarms), alarms)
			}
			got := alarms[i]
			if got.Remote != "app" || got.Method != "push" || got.Rule != "canary" || got.Blocked == nil || !*got.Blocked ||
				got.Print != fake.Fingerprint(canary) || got.Where != test.alarm.Where || len(got.Refs) != 1 ||
				test.alarm.Path != "" && (got.Path != test.alarm.Path || got.Line != test.alarm.Line || got.Commit == "") {
				t.Errorf("%+v", got)
			}
			if denied := w.events("push-deny"); len(denied) != i+1 || denied[i].Print != "" {
				t.Errorf("%+v", denied)
			}
		})
	}
	if log := strings.ToLower(w.log.String()); strings.Contains(log, strings.ToLower(canary)) {
		t.Errorf("the log holds it:\n%s", log)
	}
	w.neverSaw(canary)
}
