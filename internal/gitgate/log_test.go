package gitgate

import (
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/journal"
)

// What is not for the gate, and fetches, share a burst; everything about a push is written.
func TestJournalSuppressesFloods(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	j := journal.New[line](&out, func() time.Time { return time.Unix(1000, 0) })
	for range 40 {
		j.Write(line{Event: eventDeny})
		j.Write(line{Event: eventFetch})
	}
	out.Reset()
	want := `{"time":"1970-01-01T00:16:40Z","event":"suppressed","reason":"lines came too fast to write each","count":30}` + "\n"
	for _, event := range []string{eventReload, eventRefresh, eventPushStart, eventPushAllow, eventPushDeny, eventApproval} {
		j.Write(line{Event: event})
		want += `{"time":"1970-01-01T00:16:40Z","event":"` + event + `"}` + "\n"
	}
	j.Close()
	if out.String() != want {
		t.Error(out.String())
	}
}
