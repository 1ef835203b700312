package proposal

import (
	"bytes"
	"testing"
	"time"

	"bottle.internal/internal/ask"
)

// FuzzParse feeds any bytes to the readers of the queue's files. What they accept is checked
// content under its own ID, and comes out the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"9de1","bottle":"demo-x7k2p","kind":"capability-request","created":"2026-11-01T10:00:00Z","round":0,"capability":{"capability":"x","justification":"y"}}`))
	f.Add([]byte(`{"kind":"push-approval","push":{"remote":"app","ref":"refs/heads/x","old":"","new":""}}`))
	f.Add([]byte(`{"id":"a","proposal_sha256":"b","verdict":"approve","keep":true,"decided_at":"2026-11-01T10:00:00Z","by":"me"}`))
	good := Proposal{Created: time.Unix(1, 0).UTC(), Kind: ask.ToolCapability, Bottle: "demo-x7k2p", Capability: &ask.Capability{Capability: "x", Justification: "y"}}
	good.ID = good.identify()
	if _, err := parseProposal(ask.Marshal(good)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(ask.Marshal(good)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := parseProposal(raw); err == nil {
			again, err := parseProposal(ask.Marshal(p))
			if err != nil || !bytes.Equal(ask.Marshal(again), ask.Marshal(p)) || again.identify() != p.ID {
				t.Fatalf("%s comes out as %s, %v", ask.Marshal(p), ask.Marshal(again), err)
			}
		}
		if d, err := parseDecision(raw); err == nil && (len(d.Note) > maxNote || d.Verdict == "") {
			t.Fatalf("accepted %+v", d)
		}
	})
}
