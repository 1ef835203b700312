package journal_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type line struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Kind  string    `json:"kind,omitempty"`
	Count int       `json:"count,omitempty"`
}

func (l line) At(now time.Time) line {
	l.Time = now
	return l
}

func (l line) Bucket() (string, bool) { return l.Kind, l.Event == "deny" }

func (line) Suppressed(bucket string, count int) line {
	return line{Event: "suppressed", Kind: bucket, Count: count}
}

// clock is a time that stands still until it is moved.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newJournal(out io.Writer) (*journal.Journal[line], *clock) {
	// Lines have UTC, whatever the clock says.
	c := &clock{time.Unix(1000, 0).In(time.FixedZone("east", 3600))}
	return journal.New[line](out, c.now), c
}

func deny(j *journal.Journal[line], kind string, times int) {
	for range times {
		j.Write(line{Event: "deny", Kind: kind})
	}
}

// A burst is written and the rest is counted; the count comes before what is written next.
func TestCountComesBeforeTheNextLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	j, _ := newJournal(&out)
	deny(j, "", 60)
	if n := strings.Count(out.String(), "\n"); n != 50 {
		t.Errorf("%d lines of the burst were written", n)
	}
	out.Reset()
	for range 100 {
		j.Write(line{Event: "allow"}) // these are never held back
	}
	want := `{"time":"1970-01-01T00:16:40Z","event":"suppressed","count":10}` + "\n" +
		strings.Repeat(`{"time":"1970-01-01T00:16:40Z","event":"allow"}`+"\n", 100)
	if out.String() != want {
		t.Error(out.String())
	}
}

func TestRefill(t *testing.T) {
	t.Parallel()
	for moved, want := range map[time.Duration]int{
		0: 0, 99 * time.Millisecond: 0, 100 * time.Millisecond: 1, time.Second: 10, time.Hour: 50, -time.Hour: 0,
	} {
		var out strings.Builder
		j, clock := newJournal(&out)
		deny(j, "", 50)
		out.Reset()
		clock.at = clock.at.Add(moved)
		deny(j, "", 60)
		if n := strings.Count(out.String(), `"deny"`); n != want {
			t.Errorf("after %s: %d lines, want %d", moved, n, want)
		}
	}
}

// After the clock went back, the rate is what it was.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	j, clock := newJournal(&out)
	deny(j, "", 1)
	clock.at = clock.at.Add(-time.Hour)
	out.Reset()
	deny(j, "", 60)
	if n := strings.Count(out.String(), `"deny"`); n != 49 {
		t.Errorf("%d lines were written", n)
	}
}

// A flood in one bucket leaves the other one full; the counts come in the order of the names.
func TestBuckets(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	j, _ := newJournal(&out)
	deny(j, "secret", 53)
	deny(j, "", 52)
	j.Close()
	text := out.String()
	if n := strings.Count(text, `"deny","kind":"secret"`); n != 50 {
		t.Errorf("%d lines of the bucket were written", n)
	}
	// The first line of the second bucket brings the count of the first.
	want := `{"time":"1970-01-01T00:16:40Z","event":"suppressed","kind":"secret","count":3}` + "\n" +
		strings.Repeat(`{"time":"1970-01-01T00:16:40Z","event":"deny"}`+"\n", 50) +
		`{"time":"1970-01-01T00:16:40Z","event":"suppressed","count":2}` + "\n"
	if !strings.HasSuffix(text, want) {
		t.Error(text)
	}
	out.Reset()
	deny(j, "secret", 2)
	deny(j, "", 1)
	j.Close()
	j.Close() // nothing is owed any more
	want = `{"time":"1970-01-01T00:16:40Z","event":"suppressed","count":1}` + "\n" +
		`{"time":"1970-01-01T00:16:40Z","event":"suppressed","kind":"secret","count":2}` + "\n"
	if out.String() != want {
		t.Error(out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the reader left") }

// A reader that left stops nobody.
func TestBrokenWriter(t *testing.T) {
	t.Parallel()
	j, _ := newJournal(broken{})
	deny(j, "", 60)
	j.Close()
}

func TestConcurrentWritesAreWhole(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	j, _ := newJournal(&out)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() { deny(j, "", 20) })
	}
	writers.Wait()
	j.Close()
	want := strings.Repeat(`{"time":"1970-01-01T00:16:40Z","event":"deny"}`+"\n", 50) +
		`{"time":"1970-01-01T00:16:40Z","event":"suppressed","count":110}` + "\n"
	if out.String() != want {
		t.Error(out.String())
	}
}
