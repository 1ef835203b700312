package console_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/console"
	"bottle.internal/internal/guestexec"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/logtest"
	"bottle.internal/tests/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a session whose agent the test plays.
type bench struct {
	t      *testing.T
	s      *console.Console
	stdio  guestexec.Stdio
	socket string

	mu    sync.Mutex
	notes []string
}

func open(t *testing.T, size guestexec.Size) *bench {
	t.Helper()
	dir := shortdir.New(t)
	b := &bench{t: t, socket: filepath.Join(dir, "attach.sock")}
	var err error
	b.s, err = console.Open(t.Context(), console.Config{Socket: b.socket, Size: size, Note: func(event string, fields map[string]any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.notes = append(b.notes, fmt.Sprint(event, " ", fields["viewer"], " ", fields["reason"], " ", fields["read_only"]))
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.stdio = b.s.Stdio()
	t.Cleanup(func() { _ = b.s.Close() })
	return b
}

func (b *bench) prints(text string) {
	b.t.Helper()
	if _, err := io.WriteString(b.stdio.Stdout, text); err != nil {
		b.t.Fatal(err)
	}
}

// reads reads what has been typed.
func (b *bench) reads(want string) {
	b.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(b.stdio.Stdin, got); err != nil || string(got) != want {
		b.t.Errorf("the agent reads %q, %v; want %q", got, err, want)
	}
}

// size is the next one that the agent's screen gets.
func (b *bench) size() guestexec.Size {
	b.t.Helper()
	select {
	case size := <-b.stdio.Sizes:
		return size
	case <-time.After(eventually.Patience):
		b.t.Fatal("no size")
		return guestexec.Size{}
	}
}

// person is somebody who is attached.
type person struct {
	t      *testing.T
	typed  *io.PipeWriter
	screen *logtest.Buffer
	sizes  chan guestexec.Size
	done   chan struct{}
	exit   console.Exit
	err    error
}

// attach comes with a screen; rows 0 comes without one.
func (b *bench) attach(ctx context.Context, rows, cols int, readOnly bool) *person {
	b.t.Helper()
	keys, err := console.ParseKeys(console.DefaultDetachKeys)
	if err != nil {
		b.t.Fatal(err)
	}
	keyboard, typed := io.Pipe()
	p := &person{t: b.t, typed: typed, screen: &logtest.Buffer{}, done: make(chan struct{})}
	v := console.Viewer{Stdin: keyboard, Stdout: p.screen, Keys: keys, ReadOnly: readOnly}
	if rows > 0 {
		p.sizes = make(chan guestexec.Size, 1)
		p.sizes <- guestexec.Size{Rows: rows, Cols: cols}
		v.Sizes = p.sizes
	}
	go func() {
		defer close(p.done)
		p.exit, p.err = console.Attach(ctx, b.socket, v)
		_ = keyboard.Close()
	}()
	b.t.Cleanup(func() { _ = typed.Close() })
	return p
}

func (p *person) types(text string) {
	p.t.Helper()
	_, _ = p.typed.Write([]byte(text)) // fails when the other side has gone
}

func (p *person) sees(text string) {
	p.t.Helper()
	p.screen.AwaitText(p.t, text)
}

func (p *person) ends() (console.Exit, error) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(eventually.Patience):
		p.t.Fatal("still attached")
	}
	return p.exit, p.err
}

// Somebody comes, types, goes by keys, and comes again; the agent ends.
func TestAttach(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{Rows: 24, Cols: 80})
	if size := b.size(); size != (guestexec.Size{Rows: 24, Cols: 80}) {
		t.Errorf("first size %v", size)
	}
	b.prints("$ before\r\n")
	p := b.attach(t.Context(), 30, 100, false)
	p.sees("\x1b[0m\x1b[H\x1b[2J$ before\r\n")
	if size := b.size(); size != (guestexec.Size{Rows: 30, Cols: 100}) {
		t.Errorf("size %v", size)
	}
	p.types("ls\r\x03\x04")
	b.reads("ls\r\x03\x04") // nothing is echoed, translated or taken for a signal
	b.prints("while\r\n")
	p.sees("while")
	if strings.Contains(p.screen.String(), "ls") {
		t.Errorf("echo: %q", p.screen.String())
	}
	p.sizes <- guestexec.Size{Rows: 31, Cols: 101}
	if size := b.size(); size != (guestexec.Size{Rows: 31, Cols: 101}) {
		t.Errorf("size %v", size)
	}
	p.types("x\x10")
	b.reads("x")
	p.types("y") // ctrl-p alone is the agent's
	b.reads("\x10y")
	p.types("\x10\x11")
	if _, err := p.ends(); !errors.Is(err, console.ErrDetached) {
		t.Errorf("ends with %v", err)
	}
	b.prints("nobody looks\r\n")
	b.noted(2) // who left learns of it before it is written down

	again := b.attach(t.Context(), 31, 101, false)
	again.sees("$ before\r\nwhile\r\nnobody looks\r\n")
	// The size is the same: without a change for a moment no program would draw again.
	if nudge, size := b.size(), b.size(); nudge != (guestexec.Size{Rows: 30, Cols: 101}) || size != (guestexec.Size{Rows: 31, Cols: 101}) {
		t.Errorf("redraw by %v, %v", nudge, size)
	}
	b.prints("bye")
	b.s.End(console.Exit{Code: 7})
	if exit, err := again.ends(); exit.Code != 7 || err != nil {
		t.Errorf("%v, %v", exit, err)
	}
	again.sees("bye")
	if late, err := b.attach(t.Context(), 10, 10, false).ends(); late.Code != 7 || err != nil {
		t.Errorf("who comes too late gets %v, %v", late, err)
	}
	if err := b.s.Close(); err != nil {
		t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	want := "attached 1 <nil> false|detached 1 left <nil>|attached 2 <nil> false|detached 2 the agent ended <nil>|attached 3 <nil> false|detached 3 the agent ended <nil>"
	if got := strings.Join(b.notes, "|"); got != want {
		t.Errorf("notes %s", got)
	}
}

// noted waits for so many notes.
func (b *bench) noted(count int) {
	b.t.Helper()
	eventually.True(b.t, fmt.Sprintf("%d notes", count), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.notes) >= count
	})
}

// Several people: the screen is the smallest one's, and who only reads has no say.
func TestSeveralViewers(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	big := b.attach(t.Context(), 50, 100, false)
	if size := b.size(); size != (guestexec.Size{Rows: 50, Cols: 100}) {
		t.Errorf("size %v", size)
	}
	small := b.attach(t.Context(), 60, 80, false)
	if size := b.size(); size != (guestexec.Size{Rows: 50, Cols: 80}) {
		t.Errorf("with both: %v", size)
	}
	reader := b.attach(t.Context(), 5, 5, true)
	if nudge, size := b.size(), b.size(); nudge != (guestexec.Size{Rows: 49, Cols: 80}) || size != (guestexec.Size{Rows: 50, Cols: 80}) {
		t.Errorf("redraw by %v, %v", nudge, size)
	}
	plain := b.attach(t.Context(), 0, 0, false) // has no screen to draw
	b.prints("hello")
	for _, p := range []*person{big, small, reader, plain} {
		p.sees("hello")
	}
	reader.types("rm -rf /\r")
	plain.types("a")
	b.reads("a")
	big.types("b")
	b.reads("b")
	small.types("\x10\x11")
	if _, err := small.ends(); !errors.Is(err, console.ErrDetached) {
		t.Errorf("ends with %v", err)
	}
	if size := b.size(); size != (guestexec.Size{Rows: 50, Cols: 100}) {
		t.Errorf("without the small one: %v", size)
	}
	reader.types("\x03") // ^C is nobody's but the reader's own
	if _, err := reader.ends(); !errors.Is(err, console.ErrDetached) {
		t.Errorf("ends with %v", err)
	}
	big.types("c")
	b.reads("c")
}

// The owner decides who may type, whatever the viewer's program does.
func TestReadOnlyIsTheOwnersRule(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	conn := dial(t, b.socket)
	send(t, conn, 'h', `{"version":1,"read_only":true}`)
	send(t, conn, 'i', "evil")
	p := b.attach(t.Context(), 10, 10, false)
	p.types("good")
	b.reads("good")
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, kind byte, payload string) {
	t.Helper()
	frame := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := conn.Write(append(frame, payload...)); err != nil {
		t.Fatal(err)
	}
}

// Who attached and does not read is sent away; neither the agent nor another viewer waits.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	conn := dial(t, b.socket)
	send(t, conn, 'h', `{"version":1}`)
	p := b.attach(t.Context(), 0, 0, false)
	b.prints("both")
	p.sees("both")
	line := strings.Repeat("flood ", 10000)
	for i := range 300 { // 18 MB: more than the queue and the socket hold
		b.prints(line)
		if i%20 == 0 { // the other one keeps up
			b.prints(fmt.Sprint("mark", i, "."))
			p.sees(fmt.Sprint("mark", i, "."))
		}
	}
	p.types("still here")
	b.reads("still here")
	eventually.True(t, "it read too slowly", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return strings.Contains(strings.Join(b.notes, "|"), "read too slowly")
	})
}

// What is kept without any viewer is bounded, and begins with a whole sequence and the
// modes that hold there.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	b.prints("\x1b[?1049h\x1b[?1000h\x1b[?25l")
	for range 100000 {
		b.prints("\x1b[38;2;111;222;133mxyz\x1b[6n\x1b]52;c;ZXZpbA==\a")
	}
	b.prints("end")
	p := b.attach(t.Context(), 0, 0, false)
	p.sees("end")
	got := p.screen.String()
	rest, ok := strings.CutPrefix(got, "\x1b[0m\x1b[H\x1b[2J\x1b[?1049h\x1b[?1000h\x1b[?25l")
	if !ok || len(got) > 300<<10 {
		t.Errorf("%d bytes, begin with %q", len(got), got[:60])
	}
	rest = strings.ReplaceAll(rest, "\x1b[38;2;111;222;133mxyz", "")
	if rest != "end" && rest != "xyzend" { // no half sequence, no old question, no clipboard
		t.Errorf("something else is in it: %.80q", rest)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	for _, test := range []struct{ kind, payload, want string }{
		{"h", `{"version":2}`, "the bottle's owner speaks version 1 of attach, this bottle 2: use the program that started it"},
		{"h", `{`, "a frame that is none of ours: unexpected end of JSON input"},
		{"i", "x", "a frame that is none of ours"},
		{"q", "x", "a frame that is none of ours: kind 113, 1 bytes"},
	} {
		conn := dial(t, b.socket)
		send(t, conn, test.kind[0], test.payload)
		answer, _ := io.ReadAll(conn) // the end may be a reset: not all that was sent was read
		if len(answer) < 5 || answer[0] != 'e' || string(answer[5:]) != test.want {
			t.Errorf("%s %s: %q", test.kind, test.payload, answer)
		}
	}
	for range 16 {
		send(t, dial(t, b.socket), 'h', `{"version":1}`)
	}
	b.noted(16) // else the next one could take the place of one of them
	conn := dial(t, b.socket)
	send(t, conn, 'h', `{"version":1}`)
	_ = conn.SetReadDeadline(time.Now().Add(eventually.Patience))
	if answer, err := io.ReadAll(conn); !strings.Contains(string(answer), "16 viewers are attached already") {
		t.Errorf("%q, %v", answer, err)
	}
}

// The socket is nobody else's.
func TestSocketIsPrivate(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	info, err := os.Lstat(b.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := b.s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(b.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	dir := filepath.Dir(b.socket)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if s, err := console.Open(t.Context(), console.Config{Socket: b.socket}); err == nil {
		_ = s.Close()
		t.Error("a directory that others can enter is good enough")
	}
}

// An owner that dies says nothing, and an interrupt ends only the viewer.
func TestConnectionEnds(t *testing.T) {
	t.Parallel()
	b := open(t, guestexec.Size{})
	ctx, cancel := context.WithCancelCause(t.Context())
	first, second := b.attach(ctx, 10, 10, false), b.attach(t.Context(), 10, 10, false)
	b.prints("hello")
	first.sees("hello")
	second.sees("hello")
	reason := errors.New("interrupt signal received")
	cancel(reason)
	if _, err := first.ends(); !errors.Is(err, reason) {
		t.Errorf("ends with %v", err)
	}
	if err := b.s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := second.ends(); !errors.Is(err, console.ErrGone) {
		t.Errorf("ends with %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"ctrl-p,ctrl-q": "\x10\x11", "a,b,DEL": "ab\x7f", "ctrl-]": "\x1d", "": ""} {
		if got, err := console.ParseKeys(text); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := console.ParseKeys("ctrl-p,hello"); err == nil || err.Error() != `"ctrl-p,hello" are no keys: want letters, ctrl- and a letter, or DEL, between commas` {
		t.Error(err)
	}
}
