// Package logtest keeps what the code under test writes: a test reads it while it is written,
// and waits for it.
package logtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/tests/eventually"
)

// Buffer is written and read by any number of goroutines. Its zero value is empty.
type Buffer struct {
	mu    sync.Mutex
	data  bytes.Buffer
	grown chan struct{} // closed by the next write; nil: nobody waits
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grown != nil {
		close(b.grown)
		b.grown = nil
	}
	return b.data.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// Grown is closed by the next write: ask for it first, then read.
func (b *Buffer) Grown() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grown == nil {
		b.grown = make(chan struct{})
	}
	return b.grown
}

// until waits for a text that is found to have what is wanted.
func (b *Buffer) until(t testing.TB, what string, found func(text string) bool) {
	t.Helper()
	end := time.NewTimer(eventually.Patience)
	defer end.Stop()
	for {
		grown := b.Grown()
		if found(b.String()) {
			return
		}
		select {
		case <-grown:
		case <-end.C:
			t.Fatalf("no %q in the log:\n%s", what, b)
		}
	}
}

// AwaitText waits for a text, and returns everything.
func (b *Buffer) AwaitText(t testing.TB, want string) (all string) {
	t.Helper()
	b.until(t, want, func(text string) bool {
		all = text
		return strings.Contains(text, want)
	})
	return all
}

// Entry is a line of a daemon's log: all fields of all of them that tests ask for.
type Entry struct {
	Time                                                                     time.Time
	Event, Kind, Method, Host, Path, Rule, Reason, Scanner, Address, Problem string
	Where, Fingerprint                                                       string
	Port, Status, Count                                                      int
	Route, Routes                                                            *int
	Missing                                                                  []int `json:"missing_tokens"`
	Listen                                                                   any   // one address, or a list
	Blocked                                                                  *bool
	Up                                                                       *int64   `json:"bytes_up"`
	Down                                                                     *int64   `json:"bytes_down"`
	Millis                                                                   *float64 `json:"duration_ms"`
}

// Entries are all lines so far; one that is no JSON fails the test.
func (b *Buffer) Entries(t testing.TB) []Entry {
	t.Helper()
	return entries(t, b.String())
}

func entries(t testing.TB, text string) []Entry {
	t.Helper()
	var list []Entry
	for line := range strings.Lines(text) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("no JSON line: %q", line)
		}
		list = append(list, e)
	}
	return list
}

// Await waits for an entry of this event, "" for any, of which want is true, nil for any.
func (b *Buffer) Await(t testing.TB, event string, want func(Entry) bool) (got Entry) {
	t.Helper()
	b.until(t, event, func(text string) bool {
		for _, got = range entries(t, text) {
			if (event == "" || got.Event == event) && (want == nil || want(got)) {
				return true
			}
		}
		return false
	})
	return got
}
