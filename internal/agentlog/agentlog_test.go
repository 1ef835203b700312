package agentlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/agentlog"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.FixedZone("x", 3600)) }

func TestLines(t *testing.T) {
	t.Parallel()
	var file, screen bytes.Buffer
	log := agentlog.New(&file, 0, noon)
	out := log.Stream(&screen)
	const in = "\x1b[31mred\x1b[0m\r\n10%\r20%\n{\"time\":\"x\"}\n\xffend"
	for i := range len(in) {
		if _, err := out.Write([]byte(in[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	const want = `{"time":"2026-01-02T11:00:00Z","text":"red"}
{"time":"2026-01-02T11:00:00Z","text":"20%"}
{"time":"2026-01-02T11:00:00Z","text":"{\"time\":\"x\"}"}
{"time":"2026-01-02T11:00:00Z","text":"�end"}
`
	if file.String() != want {
		t.Errorf("%s\nwant\n%s", file.String(), want)
	}
	if screen.String() != in {
		t.Errorf("the screen got %q", screen.String())
	}
}

// A line is complete only with its end: two streams do not cut each other's.
func TestTwoStreams(t *testing.T) {
	t.Parallel()
	var file, screen bytes.Buffer
	log := agentlog.New(&file, 0, noon)
	out, errs := log.Stream(&screen), log.Stream(&screen)
	for _, step := range []struct {
		s    *agentlog.Stream
		text string
	}{{out, "a"}, {errs, "warning\n"}, {out, "b\n"}} {
		_, _ = step.s.Write([]byte(step.text))
	}
	if got := texts(t, file.Bytes()); strings.Join(got, "|") != "warning|ab" {
		t.Errorf("%q", got)
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	log := agentlog.New(&file, agentlog.MaxSize-500, noon)
	var screen bytes.Buffer
	out := log.Stream(&screen)
	for range 100 {
		_, _ = out.Write([]byte("twenty bytes of text\n"))
	}
	got := texts(t, file.Bytes())
	if last := got[len(got)-1]; last != "bottle: this log is full: what follows was not kept" || len(got) != 9 {
		t.Errorf("%d lines, the last is %q", len(got), last)
	}
	if file.Len() > 700 || screen.Len() != 2100 {
		t.Errorf("%d bytes in the log, %d on the screen", file.Len(), screen.Len())
	}
	again := agentlog.New(&file, agentlog.MaxSize, noon).Stream(&screen)
	before := file.Len()
	_, _ = again.Write([]byte("a\nb\n"))
	if more := texts(t, file.Bytes()[before:]); len(more) != 1 {
		t.Errorf("a full log goes on with %q", more)
	}
}

type full struct{ writes int }

func (f *full) Write([]byte) (int, error) {
	f.writes++
	return 0, errors.New("no space left on device")
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := &full{}
	var screen bytes.Buffer
	out := agentlog.New(disk, 0, noon).Stream(&screen)
	for range 5 {
		if _, err := out.Write([]byte("x\n")); err != nil {
			t.Error(err)
		}
	}
	if disk.writes != 1 || screen.String() != "x\nx\nx\nx\nx\n" {
		t.Errorf("%d writes, screen %q", disk.writes, screen.String())
	}
}

func texts(t *testing.T, data []byte) (texts []string) {
	t.Helper()
	for line := range bytes.Lines(data) {
		var l agentlog.Line
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		texts = append(texts, l.Text)
	}
	return texts
}
