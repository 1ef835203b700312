package token_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/secret"
	"bottle.internal/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func sh(script string, args ...string) token.Spec {
	return token.Spec{Source: token.Cmd, Cmd: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

func sources(t *testing.T, clock *clock, specs ...token.Spec) *token.Sources {
	t.Helper()
	byIndex := map[int]token.Spec{}
	for i, spec := range specs {
		byIndex[i] = spec
	}
	s, err := token.New(byIndex, token.Options{Environ: []string{"PATH=/usr/bin:/bin", "A=first", "A=last", "EMPTY=", "BAD=a\tb", "SPACE=a "}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

func TestSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) token.Spec {
		return token.Spec{Source: token.File, Name: write(t, filepath.Join(dir, name), text, 0o600)}
	}
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Symlink("plain", filepath.Join(dir, "link")))
	env := func(name string) token.Spec { return token.Spec{Source: token.Env, Name: name} }
	path := func(name string) token.Spec { return token.Spec{Source: token.File, Name: filepath.Join(dir, name)} }
	for _, test := range []struct {
		name  string
		spec  token.Spec
		value string
		want  string // the error
	}{
		{"a variable", env("A"), "last", ""},
		{"not set", env("B"), "", "env:B is not set"},
		{"empty", env("EMPTY"), "", "env:EMPTY is empty"},
		{"a tab", env("BAD"), "", "env:BAD has a character that is no printable ASCII"},
		{"a space", env("SPACE"), "", "env:SPACE begins or ends with a space"},

		{"a file", file("plain", "tok en"), "tok en", ""},
		{"a symlink", path("link"), "tok en", ""},
		{"one line end", file("nl", "token\n"), "token", ""},
		{"of another system", file("crlf", "token\r\n"), "token", ""},
		{"two line ends", file("nlnl", "token\n\n"), "", "file:DIR/nlnl has more than one line"},
		{"only a line end", file("only", "\n"), "", "file:DIR/only is empty"},
		{"an empty file", file("empty", ""), "", "file:DIR/empty is empty"},
		{"no file", path("none"), "", "file:DIR/none cannot be read: no such file or directory"},
		{"a directory", token.Spec{Source: token.File, Name: dir}, "", "file:DIR is no regular file"},
		{"a pipe", path("fifo"), "", "file:DIR/fifo is no regular file"},
		{"as large as can be", file("max", strings.Repeat("x", 8192)), strings.Repeat("x", 8192), ""},
		{"too large for a header", file("header", strings.Repeat("x", 8193)), "", "file:DIR/header has 8193 bytes: a credential has at most 8192"},
		{"too large", file("large", strings.Repeat("x", 65537)), "", "file:DIR/large has more than 65536 bytes"},
		{"not ASCII", file("utf8", "tökén"), "", "file:DIR/utf8 has a character that is no printable ASCII"},
		{"an escape", file("esc", "a\x1bb"), "", "file:DIR/esc has a character that is no printable ASCII"},
		{"DEL", file("del", "a\x7f"), "", "file:DIR/del has a character that is no printable ASCII"},
		{"a byte", file("byte", "a\xff"), "", "file:DIR/byte has a character that is no printable ASCII"},

		{"a command", sh("echo token"), "token", ""},
		{"without a line end", sh("printf token"), "token", ""},
		{"its arguments", sh(`printf %s "$1"`, "a b;c"), "a b;c", ""},
		{"its environment", sh("echo $A $HOME"), "last", ""},
		{"its directory", sh("pwd"), "/", ""},
		{"no input", sh("cat; echo token"), "token", ""},
		{"no shell", token.Spec{Source: token.Cmd, Cmd: []string{"echo", "$A;", "b"}}, "$A; b", ""},
		{"prints nothing", sh("true"), "", "cmd:/bin/sh is empty"},
		{"prints two lines", sh("echo a; echo b"), "", "cmd:/bin/sh has more than one line"},
		{"prints a carriage return", sh(`printf 'a\rb'`), "", "cmd:/bin/sh has more than one line"},
		{"fails", sh("echo sorry >&2; exit 3"), "", "cmd:/bin/sh failed with exit status 3: sorry"},
		{"fails silently", sh("exit 3"), "", "cmd:/bin/sh failed with exit status 3"},
		{"is killed", sh("kill -9 $$"), "", "cmd:/bin/sh was killed by killed"},
		{"repeats what it printed", sh("echo hunter2; echo no hunter2 >&2; exit 1"), "", "cmd:/bin/sh failed with exit status 1: no [redacted]"},
		{"colours", sh(`printf '\033[31mno' >&2; exit 1`), "", `cmd:/bin/sh failed with exit status 1: \x1b[31mno`},
		{"prints too much", sh("head -c 100000 /dev/zero; exec sleep 60"), "", "cmd:/bin/sh printed more than 65536 bytes"},
		{"is not there", token.Spec{Source: token.Cmd, Cmd: []string{"/nonexistent/op", "read"}}, "", "cmd:/nonexistent/op cannot be run: no such file or directory"},
		{"is not on PATH", token.Spec{Source: token.Cmd, Cmd: []string{"no-such-program-here"}}, "", "cmd:no-such-program-here cannot be run: it is not on PATH"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			value, err := sources(t, newClock(), test.spec).Refresh(t.Context(), 0)
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR")
				if typed := (*token.Error)(nil); !errors.As(err, &typed) {
					t.Errorf("%v is no *token.Error", err)
				}
			}
			if value.Reveal() != test.value || got != test.want {
				t.Errorf("Refresh() = %.20q, %s; want %.20q, %s", value.Reveal(), got, test.value, test.want)
			}
		})
	}
}

func TestTooMuchTime(t *testing.T) {
	t.Parallel()
	s := sources(t, newClock(), sh("exec sleep 60"))
	s.SetRunTime(10 * time.Millisecond)
	if _, err := s.Refresh(t.Context(), 0); err == nil || err.Error() != "cmd:/bin/sh took more than 10ms" {
		t.Errorf("err = %v", err)
	}
}

// A daemon gets the short text: standard error is for the operator.
func TestDetailIsApart(t *testing.T) {
	t.Parallel()
	s := sources(t, newClock(), sh("echo from the keyring of mary >&2; head -c 2000 /dev/zero | tr '\\0' x >&2; exit 1"))
	_, err := s.Refresh(t.Context(), 0)
	failure := (*token.Error)(nil)
	if !errors.As(err, &failure) || failure.Short() != "cmd:/bin/sh failed with exit status 1" || len(failure.Detail) != 403 {
		t.Errorf("err = %v", err)
	}
}

// What another source found is not repeated by a command that fails.
func TestErrorsHideWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := sources(t, newClock(), token.Spec{Source: token.Env, Name: "A"}, sh("echo the token was last >&2; exit 1"))
	_, err := s.Refresh(t.Context(), 0)
	must(t, err)
	if _, err := s.Refresh(t.Context(), 1); err == nil || !strings.HasSuffix(err.Error(), ": the token was [redacted]") {
		t.Errorf("err = %v", err)
	}
	if known := s.Known(); len(known) != 1 || known[0].Reveal() != "last" {
		t.Errorf("Known() = %d values", len(known))
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := write(t, filepath.Join(dir, "open"), "b", 0o640)
	s, err := token.New(map[int]token.Spec{
		1: {Source: token.Env, Name: "A"}, 4: {Source: token.Env, Name: "B"},
		5: {Source: token.File, Name: open}, 6: {Source: token.File, Name: open},
		7: sh("echo c"),
	}, token.Options{Environ: []string{"A=a"}})
	must(t, err)
	values, problems := s.First(t.Context())
	if len(values) != 4 || values[1].Reveal() != "a" || values[5].Reveal() != "b" || values[6].Reveal() != "b" || values[7].Reveal() != "c" {
		t.Errorf("First() = %d values", len(values))
	}
	if len(problems) != 1 || problems[4] == nil || problems[4].Error() != "env:B is not set" {
		t.Errorf("First() = %v", problems)
	}
	warnings := s.Warnings()
	if len(warnings) != 1 || warnings[0].String() != "file:"+open+" is open to others (mode 0640): chmod 600 it" {
		t.Errorf("Warnings() = %v", warnings)
	}
	if _, err := s.Refresh(t.Context(), 2); err == nil || err.Error() != "route 2 has no credential" {
		t.Errorf("Refresh(2) = %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec token.Spec
		want string
	}{
		{token.Spec{}, `the credential of route 3: ":" is no source`},
		{token.Spec{Source: "vault", Name: "x"}, `the credential of route 3: "vault:x" is no source`},
		{token.Spec{Source: token.Env}, `the credential of route 3: "env:" is no source`},
		{token.Spec{Source: token.Env, Name: "A=B"}, `the credential of route 3: "env:A=B" is no source`},
		{token.Spec{Source: token.File, Name: "relative"}, `the credential of route 3: "file:relative" is no source`},
		{token.Spec{Source: token.Cmd}, `the credential of route 3: "cmd:" is no source`},
		{token.Spec{Source: token.Cmd, Cmd: []string{""}}, `the credential of route 3: "cmd:" is no source`},
		{token.Spec{Source: token.Cmd, Cmd: []string{"op", "a\x00b"}}, `the credential of route 3: a name with a zero byte`},
	} {
		if _, err := token.New(map[int]token.Spec{3: test.spec}, token.Options{}); err == nil || err.Error() != test.want {
			t.Errorf("New(%+v) = %v, want %s", test.spec, err, test.want)
		}
	}
}

// counting counts its runs in a file and prints their number.
func counting(t *testing.T) (spec token.Spec, runs func() int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runs")
	return sh(`echo x >>"$1"; wc -l <"$1" | tr -d ' '`, path), func() int {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(data), "x")
	}
}

func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	spec, runs := counting(t)
	s := sources(t, newClock(), spec, spec)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if value, err := s.Refresh(t.Context(), i%2); err != nil || value.Reveal() != "1" {
				t.Errorf("Refresh() = %q, %v", value.Reveal(), err)
			}
			s.Warnings()
			s.Known()
		})
	}
	group.Wait()
	if runs() != 1 {
		t.Errorf("%d runs", runs())
	}
}

func TestPaceOfCommands(t *testing.T) {
	t.Parallel()
	spec, runs := counting(t)
	clock := newClock()
	s := sources(t, clock, spec)
	for _, step := range []struct {
		after time.Duration
		value string
		err   string
		runs  int
	}{
		{0, "1", "", 1},
		{59 * time.Second, "1", "", 1},
		{time.Second, "2", "", 2},
		{time.Minute, "3", "", 3},
		{time.Minute, "4", "", 4},
		{time.Minute, "5", "", 5},
		{time.Minute, "6", "", 6},
		{time.Minute, "7", "", 7},
		{time.Minute, "8", "", 8},
		{time.Minute, "9", "", 9},
		{time.Minute, "10", "", 10}, // 12:09
		{time.Minute, "", "cmd:/bin/sh was run 10 times in an hour; it is asked again after 13:00:00", 10},
		{49 * time.Minute, "", "cmd:/bin/sh was run 10 times in an hour; it is asked again after 13:00:00", 10},
		{time.Minute, "11", "", 11}, // 13:00
		{time.Minute, "12", "", 12},
	} {
		clock.add(step.after)
		value, err := s.Refresh(t.Context(), 0)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if value.Reveal() != step.value || got != step.err || runs() != step.runs {
			t.Errorf("%s: Refresh() = %q, %s, %d runs; want %q, %s, %d", clock.Now().Format(time.TimeOnly), value.Reveal(), got, runs(), step.value, step.err, step.runs)
		}
	}
}

// A failure is an answer too: who asks again at once does not run the command again.
func TestPaceOfFailures(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "runs")
	s := sources(t, newClock(), sh(`echo x >>"$1"; exit 1`, path))
	for range 5 {
		if _, err := s.Refresh(t.Context(), 0); err == nil || err.Error() != "cmd:/bin/sh failed with exit status 1" {
			t.Errorf("err = %v", err)
		}
	}
	if data, err := os.ReadFile(path); string(data) != "x\n" {
		t.Errorf("runs: %q, %v", data, err)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	clock := newClock()
	path := write(t, filepath.Join(t.TempDir(), "token"), "one\n", 0o600)
	s := sources(t, clock, token.Spec{Source: token.File, Name: path})
	for _, step := range []struct {
		after      time.Duration
		text, want string
	}{{0, "one", "one"}, {999 * time.Millisecond, "two", "one"}, {time.Millisecond, "two", "two"}} {
		write(t, path, step.text, 0o600)
		clock.add(step.after)
		if value, err := s.Refresh(t.Context(), 0); err != nil || value.Reveal() != step.want {
			t.Errorf("Refresh() = %q, %v; want %q", value.Reveal(), err, step.want)
		}
	}
}

// A caller who goes away takes the command along; the next one learns when it may be run.
func TestCancel(t *testing.T) {
	t.Parallel()
	clock := newClock()
	started := filepath.Join(t.TempDir(), "started")
	must(t, syscall.Mkfifo(started, 0o600))
	s := sources(t, clock, sh(`echo x >"$1"; exec sleep 60`, started))
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.Refresh(ctx, 0)
		failed <- err
	}()
	if _, err := os.ReadFile(started); err != nil { // waits for the command
		t.Fatal(err)
	}
	waiting, stop := context.WithCancelCause(t.Context())
	stop(errors.New("I cannot wait"))
	if _, err := s.Refresh(waiting, 0); err == nil || err.Error() != "asking cmd:/bin/sh: I cannot wait" {
		t.Errorf("err of one who waits = %v", err)
	}
	cancel(errors.New("stopped"))
	if err := <-failed; err == nil || err.Error() != "asking cmd:/bin/sh: stopped" {
		t.Errorf("err = %v", err)
	}
	if _, err := s.Refresh(t.Context(), 0); err == nil || err.Error() != "cmd:/bin/sh was interrupted; it is asked again after 12:01:00" {
		t.Errorf("err = %v", err)
	}
}

func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	path := filepath.Join(t.TempDir(), "token")
	s := sources(t, clock, token.Spec{Source: token.File, Name: path})
	var last secret.Value
	for i := range 300 {
		write(t, path, strings.Repeat("x", i+1), 0o600)
		clock.add(time.Second)
		var err error
		last, err = s.Refresh(t.Context(), 0)
		must(t, err)
	}
	if known := s.Known(); len(known) != 256 || known[255].Reveal() != last.Reveal() {
		t.Errorf("%d values are known", len(known))
	}
}
