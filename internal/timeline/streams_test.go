package timeline_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/timeline"
)

// world is an audit log that is being written, and a file for the agent's output.
type world struct {
	t     *testing.T
	dir   string
	key   audit.Key
	log   *audit.Log
	now   time.Time
	ended bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: at(0)}
	var err error
	if w.key, err = audit.LoadKey(w.path("key"), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.openLog()
	t.Cleanup(func() { _ = w.log.Close() })
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) openLog() {
	w.t.Helper()
	var err error
	if w.log, err = audit.Open(w.path("audit.jsonl"), w.key, func() time.Time { return w.now }); err != nil {
		w.t.Fatal(err)
	}
}

// says appends to the audit log and waits until it is in the file.
func (w *world) says(second int, source audit.Source, event string) {
	w.t.Helper()
	w.now = at(second)
	err := w.log.Append(w.t.Context(), audit.Record{Source: source, Event: event})
	if err = errors.Join(err, w.log.Flush(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
}

// prints is the agent's turn.
func (w *world) prints(second int, text string) {
	w.t.Helper()
	w.writes("agent.jsonl", fmt.Sprintf(`{"time":%q,"text":%q}`+"\n", at(second).Format(time.RFC3339Nano), text))
}

func (w *world) writes(name, text string) {
	w.t.Helper()
	file, err := os.OpenFile(w.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// shows merges both files. While it follows, steps are what happens between two looks.
func (w *world) shows(steps ...func()) string {
	w.t.Helper()
	var ended func() bool
	live := len(steps) > 0
	if live {
		ended = func() bool { return w.ended }
	}
	var words []string
	for item, err := range timeline.Merge(
		timeline.AuditLog(timeline.File{Path: w.path("audit.jsonl"), Ended: ended}, audit.Expect{Key: w.key.Public(), Live: live}),
		timeline.AgentLog(timeline.File{Path: w.path("agent.jsonl"), Ended: ended}),
	) {
		switch {
		case err != nil:
			words = append(words, "ERROR "+err.Error())
		case item.Idle && len(steps) == 0:
			w.t.Fatal("idle, and nothing will happen")
		case item.Idle:
			steps[0]()
			steps = steps[1:]
		default:
			words = append(words, fmt.Sprintf("%s/%s", item.Source, item.Describe()))
		}
	}
	return strings.Join(words, ", ")
}

func TestShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.says(1, audit.Launch, "launch")
	w.says(2, audit.Host, "running")
	w.prints(2, "begin")
	w.prints(3, "work")
	w.says(4, audit.Host, "token-given")
	w.says(5, audit.Host, "exit")
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "vm/launch, vm/running, agent/begin, agent/work, host/token-given, vm/exit"
	if got := w.shows(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// No file at all is no error: a bottle that has just begun, or one without an agent's log.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	missing := timeline.File{Path: filepath.Join(t.TempDir(), "agent.jsonl")}
	if got := collect(timeline.AgentLog(missing)); got != "" {
		t.Error(got)
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.says(1, audit.Launch, "launch")
	got := w.shows(
		func() { w.prints(2, "begin") },                            // the file is made now
		func() { w.writes("agent.jsonl", `{"time":"2026-01-02T`) }, // half a line is no line
		func() { w.writes("agent.jsonl", `12:00:03Z","text":"half"`) },
		func() { w.writes("agent.jsonl", "}\n"); w.says(3, audit.Host, "exit") },
		func() { // what is written last is shown, although its directory is gone
			w.says(4, audit.Host, "stopped")
			w.ended = true
			if err := errors.Join(w.log.Close(), os.Remove(w.path("agent.jsonl"))); err != nil {
				t.Error(err)
			}
		},
	)
	const want = "vm/launch, agent/begin, vm/exit, agent/half, vm/stopped"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A writer that ends between two looks wrote its last line before it ended: it is seen.
func TestLastLineIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ended := func() bool {
		if !w.ended {
			w.prints(1, "last")
			w.ended = true
		}
		return true
	}
	var words []string
	for item, err := range timeline.AgentLog(timeline.File{Path: w.path("agent.jsonl"), Ended: ended}) {
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, item.Text)
	}
	if got := strings.Join(words, ", "); got != "last" {
		t.Errorf("%q", got)
	}
}

// The next process cuts off half a line of a killed one; who follows had not taken it.
func TestFollowsOverACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.says(1, audit.Launch, "launch")
	got := w.shows(
		func() {
			if err := w.log.Close(); err != nil {
				t.Error(err)
			}
			w.writes("audit.jsonl", `{"seq":99,"time":"20`)
		},
		func() {
			w.openLog()
			w.says(2, audit.Host, "resumed")
		},
		func() { w.ended = true },
	)
	if want := "vm/launch, vm/resumed"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestShowsUpToWhereItIsTrue(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		from, to, want string
		follow         bool
	}{
		"changed": {`"event":"exit"`, `"event":"well"`, "vm/launch, ERROR line 5 does not have the hash that it names: it was changed, agent/end", false},
		"changed while it is followed": {
			`"event":"exit"`, `"event":"well"`, "vm/launch, ERROR line 5 does not have the hash that it names: it was changed, agent/end", true,
		},
		// A reader that waits must not wait for the missing line.
		"removed while it is followed": {`{"seq":5,`, "", "vm/launch, ERROR line 5 has number 6: 1 before it were removed, agent/end", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.says(1, audit.Launch, "launch")
			w.says(2, audit.Host, "exit")
			w.prints(3, "end")
			if err := w.log.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(w.path("audit.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if change.to != "" {
				text = bytes.Replace(text, []byte(change.from), []byte(change.to), 1)
			} else {
				begin := bytes.Index(text, []byte(change.from))
				text = append(text[:begin:begin], text[begin+bytes.IndexByte(text[begin:], '\n')+1:]...)
			}
			if err := os.WriteFile(w.path("audit.jsonl"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			var steps []func()
			if change.follow {
				steps = []func(){func() { w.ended = true }}
			}
			if got := w.shows(steps...); got != change.want {
				t.Errorf("%s, want %s", got, change.want)
			}
		})
	}
}

// A line of the agent's log that is no record is shown as it is, and one that is longer than
// any record in pieces; neither hides what comes after.
func TestUnreadableAgentLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	w.prints(1, "a")
	w.writes("agent.jsonl", "not json\x1b[2J\n{\"time\":\"2026-01-02T12:00:00Z\"}\n")
	w.prints(2, "b")
	w.writes("agent.jsonl", strings.Repeat("x", 300<<10)+"\n")
	w.prints(3, "c")
	got := strings.ReplaceAll(w.shows(), strings.Repeat("x", 1000), "")
	got = strings.NewReplacer("x", "").Replace(got)
	const want = `agent/a, agent/unreadable not json\1b[2J, agent/unreadable {"time":"2026-01-02T12:00:00Z"}, agent/b, agent/unreadable , agent/unreadable , agent/c`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A link or a pipe in the place of a log leads nowhere.
func TestOnlyRegularFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := errors.Join(w.log.Close(), os.Symlink("audit.jsonl", w.path("agent.jsonl"))); err != nil {
		t.Fatal(err)
	}
	if got := w.shows(); !strings.Contains(got, "ERROR reading what the agent printed: opening a log: ") {
		t.Error(got)
	}
}

// However long the log, memory does not grow with it.
func TestBoundedMemory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.jsonl")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("{\"time\":%q,\"text\":%q}\n", at(1).Format(time.RFC3339), strings.Repeat("x", 1000))
	block := []byte(strings.Repeat(line, 1000))
	for range 32 {
		if _, err := file.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count, most := 0, uint64(0)
	for item := range timeline.Merge(timeline.AgentLog(timeline.File{Path: path})) {
		if len(item.Text) != 1000 {
			t.Fatalf("text %.80q", item.Text)
		}
		if count++; count%8000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapAlloc)
		}
	}
	if count != 32000 || most > before.HeapAlloc+8<<20 {
		t.Errorf("%d records; the heap went from %d to %d", count, before.HeapAlloc, most)
	}
}

func FuzzAgentLog(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-02T12:00:00Z","text":"a"}` + "\n"))
	f.Add([]byte("\n{}\nnull\n\x00"))
	f.Fuzz(func(t *testing.T, log []byte) {
		path := filepath.Join(t.TempDir(), "agent.jsonl")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		records := 0
		for item, err := range timeline.AgentLog(timeline.File{Path: path}) {
			if err != nil {
				t.Fatal(err)
			}
			if records++; strings.ContainsAny(item.Describe(), "\n\r\x1b") {
				t.Errorf("%q", item.Describe())
			}
		}
		if lines := bytes.Count(append(bytes.TrimSuffix(log, []byte("\n")), '\n'), []byte("\n")); len(log) > 0 && records < lines && len(log) < 1000 {
			t.Errorf("%d records of %d lines", records, lines)
		}
	})
}
