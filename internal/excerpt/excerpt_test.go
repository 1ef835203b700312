package excerpt_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/excerpt"
)

func TestExcerpts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		written    []string
		head, tail string
		over       bool
	}{
		{nil, "", "", false},
		{[]string{"ab", ""}, "ab", "ab", false},
		{[]string{"ab", "cd"}, "abcd", "abcd", false},
		{[]string{"ab", "cde"}, "abcd", "bcde", true},
		{[]string{"abcdefgh", "i", ""}, "abcd", "fghi", true},
	} {
		head, tail := excerpt.Head{Limit: 4}, excerpt.Tail{Limit: 4}
		for _, text := range test.written {
			if n, err := io.MultiWriter(&head, &tail).Write([]byte(text)); n != len(text) || err != nil {
				t.Fatalf("writing %q: %d, %v", text, n, err)
			}
		}
		kept, over := head.Bytes()
		if string(kept) != test.head || over != test.over || tail.String() != test.tail {
			t.Errorf("of %q: head %q, over %v; tail %q", test.written, kept, over, tail.String())
		}
	}
}

func TestTwoStreams(t *testing.T) {
	t.Parallel()
	head, tail := excerpt.Head{Limit: 100}, excerpt.Tail{Limit: 100}
	var streams sync.WaitGroup
	for range 2 {
		streams.Go(func() {
			for range 1000 {
				_, _ = io.MultiWriter(&head, &tail).Write([]byte("xx"))
			}
		})
	}
	streams.Wait()
	want := strings.Repeat("x", 100)
	if kept, over := head.Bytes(); string(kept) != want || !over || tail.String() != want {
		t.Errorf("head %q, %v; tail %q", kept, over, tail.String())
	}
}
