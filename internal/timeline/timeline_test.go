package timeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/timeline"
)

// at is a second of the day that these tests happen on.
func at(second int) time.Time { return time.Date(2026, 1, 2, 12, 0, second, 0, time.UTC) }

// script is a stream of records at these seconds; -1 is a moment without any, -2 an error.
func script(name string, seconds ...int) timeline.Stream {
	return func(yield func(timeline.Item, error) bool) {
		for i, second := range seconds {
			item, err := timeline.Item{Record: timeline.Record{Time: at(second), Text: fmt.Sprint(name, i)}}, error(nil)
			switch second {
			case -1:
				item = timeline.Item{Idle: true}
			case -2:
				item, err = timeline.Item{}, errors.New(name+" broke")
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

func collect(streams ...timeline.Stream) string {
	var words []string
	for item, err := range timeline.Merge(streams...) {
		switch {
		case err != nil:
			words = append(words, err.Error())
		case item.Idle:
			words = append(words, "idle")
		default:
			words = append(words, item.Text)
		}
	}
	return strings.Join(words, " ")
}

func TestMerge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		streams []timeline.Stream
		want    string
	}{
		{"nothing", nil, ""},
		{"one", []timeline.Stream{script("a", 1, 2)}, "a0 a1"},
		{"by time", []timeline.Stream{script("a", 1, 4), script("b", 2, 3)}, "a0 b0 b1 a1"},
		{"ties go to the first stream", []timeline.Stream{script("a", 2, 2), script("b", 2, 2), script("c", 1)}, "c0 a0 a1 b0 b1"},
		{"a stream keeps its own order when its clock steps back", []timeline.Stream{script("a", 5, 1), script("b", 3)}, "b0 a0 a1"},
		{"a stream that breaks ends alone", []timeline.Stream{script("a", 1, -2, 3), script("b", 2, 4)}, "a0 a broke b0 b1"},
		{"nobody is held up", []timeline.Stream{script("a", -1, 3), script("b", 1, 2)}, "b0 b1 a1"},
		{"idle when nobody has anything", []timeline.Stream{script("a", -1, -1, 3), script("b", 1, -1)}, "b0 idle a2"},
	} {
		if got := collect(test.streams...); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// A stream that never pauses does not hide another one's news.
func TestBusyStreamHidesNobody(t *testing.T) {
	t.Parallel()
	busy := func(yield func(timeline.Item, error) bool) {
		for yield(timeline.Item{Record: timeline.Record{Time: at(9), Text: "busy"}}, nil) {
		}
	}
	seen := 0
	for item := range timeline.Merge(script("quiet", -1, 1), busy) {
		if seen++; item.Text == "quiet1" || seen > 1000 {
			break
		}
	}
	if seen > 300 {
		t.Errorf("%d records before the other stream's", seen)
	}
}

// Who stops reading stops every stream.
func TestMergeStops(t *testing.T) {
	t.Parallel()
	var stopped []string
	stream := func(name string) timeline.Stream {
		return func(yield func(timeline.Item, error) bool) {
			defer func() { stopped = append(stopped, name) }()
			for yield(timeline.Item{Record: timeline.Record{Time: at(1)}}, nil) {
			}
		}
	}
	for range timeline.Merge(stream("a"), stream("b")) {
		break
	}
	if slices.Sort(stopped); !slices.Equal(stopped, []string{"a", "b"}) {
		t.Errorf("stopped %q", stopped)
	}
}
