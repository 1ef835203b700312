package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(fill byte) audit.Key { return audit.KeyOf(bytes.Repeat([]byte{fill}, 32)) }

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 123456789, time.UTC) }

// open opens a log in a new directory.
func open(t *testing.T) (*audit.Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path, testKey(1), noon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log, path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func verify(text string, expect audit.Expect) (audit.Summary, error) {
	expect.Key = testKey(1).Public()
	return audit.Verify(strings.NewReader(text), expect)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestBytes pins the format: other programs read it.
func TestBytes(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	must(t, log.Append(t.Context(), audit.Record{Source: audit.Launch, Event: "launch", Fields: map[string]any{"identity": "demo-aaaaa", "b": 1, "a": "<&>"}}))
	must(t, log.Close())
	const want = `{"seq":1,"time":"2026-01-02T12:00:00.123456Z","source":"audit","event":"open","fields":{"format":1},"prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":"HASH1"}
{"seq":2,"time":"2026-01-02T12:00:00.123456Z","source":"audit","event":"head","fields":{"count":1,"hash":"HASH1","key":"KEY","signature":"SIG"},"prev":"HASH1","hash":"HASH2"}
{"seq":3,"time":"2026-01-02T12:00:00.123456Z","source":"launch","event":"launch","fields":{"a":"<&>","b":1,"identity":"demo-aaaaa"},"prev":"HASH2","hash":"HASH3"}
{"seq":4,"time":"2026-01-02T12:00:00.123456Z","source":"audit","event":"head","fields":{"count":3,"hash":"HASH3","key":"KEY","signature":"SIG"},"prev":"HASH3","hash":"HASH4"}
`
	got := read(t, path)
	for i, line := range strings.Split(strings.TrimSpace(got), "\n") {
		record, err := audit.Decode(line)
		must(t, err)
		got = strings.ReplaceAll(got, record.Hash, fmt.Sprintf("HASH%d", i+1))
		if _, rest, ok := strings.Cut(line, `"signature":"`); ok {
			signature, _, _ := strings.Cut(rest, `"`)
			got = strings.ReplaceAll(got, signature, "SIG")
		}
	}
	if got = strings.ReplaceAll(got, audit.Fingerprint(testKey(1).Public()), "KEY"); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	summary, err := verify(read(t, path), audit.Expect{Head: log.Head().Hash})
	if err != nil || summary.Lines != 4 || summary.Heads != 2 || summary.Head != log.Head().Hash || log.Head().Lines != 4 {
		t.Errorf("Verify() = %+v, %v; Head() = %+v", summary, err, log.Head())
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	log, _ := open(t)
	for _, test := range []struct {
		record audit.Record
		want   string
	}{
		{audit.Record{Source: "audit", Event: "head"}, `writing to the audit log: there is no source "audit"`},
		{audit.Record{Source: "guest", Event: "x"}, `writing to the audit log: there is no source "guest"`},
		{audit.Record{Source: audit.Host, Event: "Two words"}, `writing to the audit log: "Two words" is no name of an event`},
		{audit.Record{Source: audit.Host}, `writing to the audit log: "" is no name of an event`},
		{audit.Record{Source: audit.Host, Event: "x", Fields: []int{1}}, "writing to the audit log: the fields are no JSON object, or a very deep one"},
		{audit.Record{Source: audit.Host, Event: "x", Fields: func() {}}, "writing to the audit log: encoding the fields: json: unsupported type: func()"},
	} {
		if err := log.Append(t.Context(), test.record); text(err) != test.want {
			t.Errorf("Append(%+v) = %v, want %s", test.record, err, test.want)
		}
	}
	must(t, log.Close())
	must(t, log.Close())
	if err := log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x"}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Append after Close = %v", err)
	}
	if err := log.Flush(t.Context()); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Flush after Close = %v", err)
	}
}

func TestConcurrentWritersMakeOneChain(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	const writers, each = 8, 200
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			stream := log.Bundle()
			for i := range each {
				if i%2 == 0 {
					_, _ = fmt.Fprintf(stream, "egress| {\"event\":\"allow\",\"n\":%d}\n", i)
				} else if err := log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x", Fields: map[string]int{"n": i}}); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					if err := log.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	must(t, log.Close())
	summary, err := verify(read(t, path), audit.Expect{Head: log.Head().Hash})
	if want := uint64(writers*each + 1 + summary.Heads); err != nil || summary.Lines != want {
		t.Errorf("Verify() = %+v, %v; want %d lines", summary, err, want)
	}
}

// Every 64 records, and one second after the first that has no signature.
func TestHeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		log, err := audit.Open(path, testKey(1), time.Now)
		must(t, err)
		heads := func() int {
			synctest.Wait()
			return strings.Count(read(t, path), `"event":"head"`)
		}
		add := func(n int) {
			for range n {
				must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x"}))
			}
		}
		for _, step := range []struct {
			name  string
			add   int
			sleep time.Duration
			want  int
		}{
			{"a new log", 0, 0, 1},
			{"nothing to sign", 0, time.Minute, 1},
			{"a batch but one", 63, 0, 1},
			{"a batch", 1, 0, 2},
			{"nothing is left", 0, time.Minute, 2},
			{"one", 1, 900 * time.Millisecond, 2},
			{"one more does not put it off", 1, 100 * time.Millisecond, 3},
		} {
			add(step.add)
			time.Sleep(step.sleep)
			if got := heads(); got != step.want {
				t.Errorf("%s: %d heads, want %d", step.name, got, step.want)
			}
		}
		add(1)
		must(t, log.Flush(t.Context()))
		if got := heads(); got != 4 {
			t.Errorf("after Flush: %d heads, want 4", got)
		}
		must(t, log.Close())
	})
}

// Denials are counted beyond a rate, each source for itself; nothing else ever is.
func TestOnlyDenialsAreSuppressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		log, err := audit.Open(path, testKey(1), time.Now)
		must(t, err)
		stream := log.Bundle()
		for range 1000 {
			for _, line := range []string{
				`firewall| {"event":"deny"}`, `egress| {"event":"deny"}`, `firewall| {"event":"allow"}`,
				`git-gate| {"event":"push"}`, `supervise| {"event":"approval"}`, `egress| {"event":"canary"}`,
			} {
				_, err := fmt.Fprintln(stream, line)
				must(t, err)
			}
			must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "deny"}))
		}
		time.Sleep(audit.BatchTime)
		synctest.Wait()
		counts, suppressed := map[string]int{}, map[string]int{}
		_, err = audit.Scan(strings.NewReader(read(t, path)), audit.Expect{Key: testKey(1).Public()}, func(l audit.Line) error {
			counts[string(l.Source)+" "+l.Event]++
			if n := 0; l.Event == "suppressed" {
				_, err := fmt.Sscanf(string(l.Fields), `{"count":%d,`, &n)
				suppressed[string(l.Source)] += n
				return err
			}
			return nil
		})
		must(t, err)
		for event, want := range map[string]int{
			"firewall deny": 100, "egress deny": 100, "firewall allow": 1000, "git-gate push": 1000,
			"supervise approval": 1000, "egress canary": 1000, "host deny": 1000,
		} {
			if counts[event] != want {
				t.Errorf("%s: %d lines, want %d", event, counts[event], want)
			}
		}
		if suppressed["firewall"] != 900 || suppressed["egress"] != 900 || len(suppressed) != 2 {
			t.Errorf("suppressed: %v, want 900 of firewall and egress", suppressed)
		}
		must(t, log.Close())
	})
}

// memory is a disk with so much room; a write that does not fit is half done.
type memory struct {
	mu     sync.Mutex
	data   []byte
	room   int
	stuck  chan struct{} // if not nil, writes wait for it
	broken atomic.Bool   // Truncate and Sync fail
	syncs  atomic.Int64
}

var errDisk = errors.New("no space left on device")

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	stuck := m.stuck
	m.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(p), m.room-len(m.data))
	m.data = append(m.data, p[:n]...)
	if n < len(p) {
		return n, errDisk
	}
	return n, nil
}

func (m *memory) Truncate(size int64) error {
	if m.broken.Load() {
		return errDisk
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = m.data[:size]
	return nil
}

func (m *memory) Sync() error {
	if m.syncs.Add(1) > 1 && m.broken.Load() {
		return errDisk
	}
	return nil
}

func (*memory) Close() error { return nil }

// Nothing counts as signed before the disk has it.
func TestSync(t *testing.T) {
	t.Parallel()
	disk := &memory{room: 1 << 20}
	log, err := audit.StartOn(disk, testKey(1), noon)
	must(t, err)
	must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x"}))
	disk.broken.Store(true)
	before := log.Head()
	if err := log.Flush(t.Context()); text(err) != "flushing the audit log: syncing: no space left on device" {
		t.Errorf("Flush() = %v", err)
	}
	<-log.Done()
	if err := log.Close(); !errors.Is(err, errDisk) || log.Head() != before || disk.syncs.Load() != 2 {
		t.Errorf("Close() = %v, Head() = %+v, %d syncs", err, log.Head(), disk.syncs.Load())
	}
}

// A full disk is an error for the owner, and what is there stays a log.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for room := 1000; room < 4000; room += 150 {
		disk := &memory{room: room}
		log, err := audit.StartOn(disk, testKey(1), noon)
		must(t, err)
		for {
			if err = log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x"}); err != nil {
				break
			}
		}
		<-log.Done()
		if !errors.Is(err, errDisk) || !errors.Is(log.Err(), errDisk) || !errors.Is(log.Close(), errDisk) {
			t.Errorf("Append() = %v, Err() = %v, Close() = %v", err, log.Err(), log.Close())
		}
		summary, err := verify(string(disk.data), audit.Expect{Head: log.Head().Hash, Live: true})
		if err != nil || summary.Torn > 0 {
			t.Errorf("with room for %d bytes: %+v, %v", room, summary, err)
		}
	}
}

func TestADiskThatIsFullAtOnce(t *testing.T) {
	t.Parallel()
	_, err := audit.StartOn(&memory{room: 10}, testKey(1), noon)
	if !errors.Is(err, errDisk) {
		t.Errorf("err = %v", err)
	}
}

// What may grow without end stops the bottle instead.
func TestFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const limit = 64 << 10
	log, err := audit.OpenLimited(path, testKey(1), noon, limit)
	must(t, err)
	for err == nil {
		err = log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "allow"})
	}
	<-log.Done()
	if got := text(err); got != "writing to the audit log: audit full" {
		t.Errorf("Append() = %s", got)
	}
	if err := log.Flush(t.Context()); !errors.Is(err, audit.ErrFull) {
		t.Errorf("Flush() = %v", err)
	}
	if err := log.Close(); !errors.Is(err, audit.ErrFull) {
		t.Errorf("Close() = %v", err)
	}
	got := read(t, path)
	if len(got) > limit || len(got) < limit*9/10 || strings.Count(got, `"event":"full"`) != 1 {
		t.Errorf("%d bytes, want nearly %d and one record that says so", len(got), limit)
	}
	if summary, err := verify(got, audit.Expect{Head: log.Head().Hash}); err != nil || log.Head().Lines != summary.Lines {
		t.Errorf("Verify() = %+v, %v; Head() = %+v", summary, err, log.Head())
	}
}

// Who writes faster than the disk waits, and can give up waiting.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	disk := &memory{room: 1 << 20}
	log, err := audit.StartOn(disk, testKey(1), noon)
	must(t, err)
	must(t, log.Flush(t.Context())) // the writer is idle
	stuck := make(chan struct{})
	disk.mu.Lock()
	disk.stuck = stuck
	disk.mu.Unlock()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	taken := 0
	for err == nil {
		if taken == audit.QueueSize { // one more may be in the writer's hands
			time.AfterFunc(0, func() { cancel(errors.New("I gave up")) })
		}
		if err = log.Append(ctx, audit.Record{Source: audit.Host, Event: "allow"}); err == nil {
			taken++
		}
	}
	if taken < audit.QueueSize || taken > audit.QueueSize+1 || text(err) != "writing to the audit log: I gave up" {
		t.Errorf("%d records were taken, then %v", taken, err)
	}
	close(stuck)
	must(t, log.Close())
	if got := strings.Count(string(disk.data), `"event":"allow"`); got != taken {
		t.Errorf("%d of %d records are there", got, taken)
	}
}
