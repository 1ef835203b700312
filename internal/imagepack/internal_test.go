package imagepack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/event"
)

func TestToolOutput(t *testing.T) {
	t.Parallel()
	var said []string
	out := &toolOutput{meter: &meter{step: "pack", send: func(e event.Event) { said = append(said, e.Text) }}}
	for _, chunk := range []string{
		"\r\x1b[2K\x1b[36m⠋\x1b[0m Pulling", " layer 1\r", "\r\n", "Pulling layer 2\nPulling layer 2\n",
		"\x1b]0;title\a", "\n", strings.Repeat("x", 5000), "\n", "never ended",
	} {
		if n, err := out.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	// What is left of a control sequence is for the sinks to escape.
	want := []string{"⠋ Pulling layer 1", "Pulling layer 2", "\x1b]0;title\a", strings.Repeat("x", maxLine)}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestMeterIsQuietEnough(t *testing.T) {
	t.Parallel()
	for _, total := range []int64{0, 1, 5000, 10 << 20, 1 << 30} {
		events, last := 0, event.Event{}
		m := &meter{step: "push", total: total, send: func(e event.Event) { events, last = events+1, e }}
		for left := total; left > 0; left -= 32 << 10 {
			m.add(int(min(left, 32<<10)))
		}
		m.add(0)
		m.add(1 << 10) // a part that was read twice
		if events > 110 || total > 0 && (last.Done != total || last.Total != total) {
			t.Errorf("total %d: %d events, the last %+v", total, events, last)
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	was := []Part{{"base", "a"}, {"layer", "1"}, {"layer", "2"}, {"gone", "x"}}
	now := []Part{{"new", "y"}, {"base", "a"}, {"layer", "1"}, {"layer", "3"}}
	want := []Change{{"gone", "x", ""}, {"layer", "2", "3"}, {"new", "", "y"}}
	if diff := cmp.Diff(want, changes(was, now)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := changes(was, was); got != nil {
		t.Errorf("changes of nothing = %v", got)
	}
}

func TestKeyTellsPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[string][]Part{}
	for _, parts := range [][]Part{
		nil, {{"a", "b"}}, {{"b", "a"}}, {{"ab", ""}}, {{"a", ""}, {"b", ""}}, {{"a", `","value":"b`}}, {{"a", "b"}, {"a", "b"}},
	} {
		key := keyOf(parts)
		if other, taken := seen[key]; taken {
			t.Errorf("%v and %v have one key", parts, other)
		}
		seen[key] = parts
	}
}

// FuzzLoadResult: whatever an engine answers is read to an end, and only a stream of
// whole JSON values without an error in it is a success.
func FuzzLoadResult(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"stream":"x"}{"status":"y","progressDetail":{"current":1}}`, `{"error":"x"}`,
		`{"errorDetail":{"message":"x"}}`, `{"errorDetail":null}`, `{"error":1}`, "[", "null", `{"error":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if loadResult(bytes.NewReader(stream)) != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(stream))
		for decoder.More() {
			var message map[string]any
			if err := decoder.Decode(&message); err != nil {
				t.Fatalf("%q was taken for a success, but %v", stream, err)
			}
			if text, ok := message["error"].(string); ok && text != "" {
				t.Fatalf("%q was taken for a success, in spite of %q", stream, text)
			}
		}
	})
}

// FuzzRecord: what is accepted as a record is written back as the same record.
func FuzzRecord(f *testing.F) {
	rec := record{Format: 1, Key: keyOf(nil), Via: ViaPack, Size: 1, SHA256: strings.Repeat("a", 64)}
	raw, err := json.Marshal(rec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1}{`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var first, second record
		if decodeStrict(raw, &first) != nil {
			return
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeStrict(again, &second); err != nil {
			t.Fatalf("%s was accepted, %s is not: %v", raw, again, err)
		}
		if third, _ := json.Marshal(second); !reflect.DeepEqual(again, third) {
			t.Fatalf("%s became %s", again, third)
		}
	})
}

func TestCopiesStopWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	read, written := &ctxReader{ctx: ctx, r: strings.NewReader("abc")}, &ctxWriter{ctx: ctx, w: &bytes.Buffer{}}
	if n, err := read.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	cancel(errEnough)
	if _, err := read.Read(make([]byte, 1)); !errors.Is(err, errEnough) {
		t.Errorf("Read after the end = %v", err)
	}
	if _, err := written.Write([]byte("x")); !errors.Is(err, errEnough) {
		t.Errorf("Write after the end = %v", err)
	}
}

var errEnough = context.DeadlineExceeded
