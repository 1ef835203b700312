package proposal_test

import (
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
	"bottle.internal/tests/eventually"
)

// An approval of a push is used up on the disk too: a bottle that died right after it, and is
// resumed, has to ask again.
func TestUsedApprovalStaysUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	push := proposal.Push{
		Remote: "app", Ref: "refs/heads/bottle/topic", Old: strings.Repeat("0", 40), New: strings.Repeat("1", 40),
		Reasons: []string{"it changes .github/workflows/ci.yml"},
	}
	asked := func() ask.Answer {
		t.Helper()
		a, err := b.queue.AskPush(t.Context(), push, 0)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := asked()
	if _, err := b.desk.Decide(first.ID, yes()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the yes arrives", func() bool { return asked().Status == ask.Approved })
	b.reopen()
	if a := asked(); a.Status != ask.Pending || a.ID == first.ID {
		t.Errorf("after the resume: %+v", a)
	}
}

// A file of the queue is what its name says, and of the bottle that looks.
func TestProposalOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := b.must("a.example.com")
	text, err := os.ReadFile(b.path("proposals", good+".json"))
	if err != nil {
		t.Fatal(err)
	}
	planted := strings.Repeat("a", 64)
	b.write(b.path("proposals", planted+".json"), string(text))
	const want = "it is another one, or of another bottle"
	if views, problems := b.desk.List(); len(views) != 1 || len(problems) != 1 || problems[0].Error() != "proposal aaaaaaaaaaaa: "+want {
		t.Errorf("under another name: %d views, %v", len(views), problems)
	}
	desk, err := proposal.OpenDesk(b.dir, "demo-zzzzz")
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if _, err := desk.View(good); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("of another bottle: %v", err)
	}
}
