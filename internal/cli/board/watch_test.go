package board

import (
	"bytes"
	"testing"
	"time"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

func TestFollower(t *testing.T) {
	t.Parallel()
	f := follower{last: map[string]app.Proposal{}, told: map[string]bool{}}
	old := row("0", "old", proposal.View{})
	old.Status, old.Outcome = ask.Approved, &proposal.Outcome{Status: ask.Approved}
	first := row("a", "docker\x1b[2J", proposal.View{})
	var out bytes.Buffer
	look := func(rows ...app.Proposal) {
		for _, c := range f.follow(rows, time.Unix(1_800_000_000, 0)) {
			if err := writeChange(&out, false, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	look(old, first)
	look(old, first)
	first.Decision = &proposal.Decision{Verdict: proposal.Reject, Note: "use\npodman"}
	look(old, first)
	first.Status, first.Outcome = ask.Rejected, &proposal.Outcome{Status: ask.Rejected}
	look(old, first)
	look(old)
	want := `2027-01-15T08:00:00Z demo-aaaaa proposed aaaaaaaaaaaa pending: capability: docker\x1b[2J
2027-01-15T08:00:00Z demo-aaaaa decided aaaaaaaaaaaa pending: capability: docker\x1b[2J (use podman)
2027-01-15T08:00:00Z demo-aaaaa settled aaaaaaaaaaaa rejected: capability: docker\x1b[2J (use podman)
`
	if out.String() != want {
		t.Errorf("watch said:\n%swant:\n%s", out.String(), want)
	}
}
