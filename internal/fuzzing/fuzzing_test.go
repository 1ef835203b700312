package fuzzing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/fuzzing"
	"bottle.internal/tests/program"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module writes files into a directory of its own.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		program.Write(t, path, text) // one of them may be
	}
	return dir
}

func TestFind(t *testing.T) {
	t.Parallel()
	const target = "package x\nimport \"testing\"\nfunc FuzzHidden(f *testing.F) {}\n"
	dir := module(t, map[string]string{
		"go.mod":    "module x\n",
		"a_test.go": "package x\nimport \"testing\"\nfunc FuzzRoot(f *testing.F) {}\nfunc Fuzz(*testing.F) {}\nfunc Fuzz_x(*testing.F) {}\n",
		"in/b_test.go": `package in_test

import check "testing"

type T struct{}

func FuzzSecond(f *check.F)      {}
func FuzzFirst(f *check.F)       {}
func Fuzzy(f *check.F)           {} // a small letter
func TestFuzz(t *check.T)        {}
func FuzzTest(t *check.T)        {}
func FuzzValue(f check.F)        {}
func FuzzTwo(f, g *check.F)      {}
func FuzzResult(f *check.F) int  { return 0 }
func FuzzOther(f *testing.F)     {}
func FuzzLocal(f *F)             {}
func FuzzAny[P any](f *check.F)  {}
func (T) FuzzMethod(f *check.F)  {}
`,
		"in/c.go":              "package in\n// func FuzzComment(f *testing.F)\n",
		"in/tagged_test.go":    "//go:build integration\n\n" + target,
		"in/f_windows_test.go": target,
		"testdata/d_test.go":   target,
		"vendor/d_test.go":     target,
		".hidden/d_test.go":    target,
		"_out/d_test.go":       target,
		"tools/go.mod":         "module tools\n",
		"tools/d_test.go":      target,
	})
	targets, err := fuzzing.Find(dir)
	want := []fuzzing.Target{{".", "FuzzRoot"}, {".", "Fuzz"}, {".", "Fuzz_x"}, {"in", "FuzzSecond"}, {"in", "FuzzFirst"}}
	if err != nil || !slices.Equal(targets, want) {
		t.Errorf("Find() = %v, %v; want %v", targets, err, want)
	}
}

func TestFindTellsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"a_test.go": "package x\nfunc {"})
	_, err := fuzzing.Find(dir)
	if err == nil || !strings.HasPrefix(err.Error(), "looking for fuzz targets: ") || !strings.Contains(err.Error(), "a_test.go:2:6") {
		t.Errorf("Find() = %v", err)
	}
}

// This module's own targets are found: the finder is one of them if it ever gets one.
func TestFindHere(t *testing.T) {
	t.Parallel()
	targets, err := fuzzing.Find("../..")
	if err != nil || !slices.Contains(targets, fuzzing.Target{Package: "internal/names", Name: "FuzzParseIdentity"}) || len(targets) < 40 {
		t.Errorf("%d targets, %v", len(targets), err)
	}
}

// fakeGo plays go test.
const fakeGo = `#!/bin/sh
echo "$PWD $*" >> "$CALLS"
case "$*" in
*FuzzGood*)
	echo 'fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed'
	echo 'fuzz: elapsed: 3s, execs: 100 (33/sec), new interesting: 1 (total: 4)'
	echo 'fuzz: elapsed: 5s, execs: 12345 (33/sec), new interesting: 1 (total: 4)'
	echo PASS;;
*FuzzBad*)
	echo 'fuzz: elapsed: 1s, execs: 77 (33/sec), new interesting: 1 (total: 4)'
	echo '    Failing input written to testdata/fuzz/FuzzBad/771e938e4458e983'
	echo FAIL
	exit 1;;
*FuzzLate*)
	echo 'fuzz: elapsed: 3s, execs: 134 (0/sec), new interesting: 2 (total: 32)'
	echo '--- FAIL: FuzzLate (3.04s)'
	echo '    context deadline exceeded'
	echo FAIL
	exit 1;;
*FuzzBroken*)
	echo './x_test.go:3:1: undefined: y' >&2
	exit 2;;
*)
	echo 'testing: warning: no fuzz tests to fuzz';;
esac
`

func TestRunGoesOnAndNamesWhatFailed(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{
		"bin/go":      fakeGo,
		"a/a_test.go": "package a\nimport \"testing\"\nfunc FuzzBad(f *testing.F) {}\nfunc FuzzGood(f *testing.F) {}\n",
		"b/b_test.go": "package b\nimport \"testing\"\nfunc FuzzBroken(f *testing.F) {}\nfunc FuzzNothing(f *testing.F) {}\nfunc FuzzLate(f *testing.F) {}\n",
	})
	calls := filepath.Join(dir, "calls")
	var out strings.Builder
	err := fuzzing.Run(t.Context(), fuzzing.Config{
		Dir: dir, Time: 5 * time.Second, Go: filepath.Join(dir, "bin/go"), Environ: []string{"CALLS=" + calls}, Out: &out,
	})
	want := "3 of 5 fuzz targets failed: a FuzzBad (testdata/fuzz/FuzzBad/771e938e4458e983), b FuzzBroken, b FuzzNothing"
	if err == nil || err.Error() != want {
		t.Errorf("Run() = %v, want %q", err, want)
	}
	row := func(pkg, name, execs, verdict string) string {
		return fmt.Sprintf("%-36s %-20s %9s execs  %s\n", pkg, name, execs, verdict)
	}
	lines := row("a", "FuzzBad", "77", "FAILED") + `    fuzz: elapsed: 1s, execs: 77 (33/sec), new interesting: 1 (total: 4)
        Failing input written to testdata/fuzz/FuzzBad/771e938e4458e983
    FAIL
    go: exit status 1
` + row("a", "FuzzGood", "12345", "ok") + row("b", "FuzzBroken", "no", "FAILED") + `    ./x_test.go:3:1: undefined: y
    go: exit status 2: ./x_test.go:3:1: undefined: y
` + row("b", "FuzzNothing", "no", "FAILED") + `    testing: warning: no fuzz tests to fuzz
    it ran nothing
` + row("b", "FuzzLate", "134", "ok, the last input was cut short")
	if out.String() != lines {
		t.Errorf("output\n%s\nwant\n%s", out.String(), lines)
	}
	asked, err := os.ReadFile(calls)
	if first, _, _ := strings.Cut(string(asked), "\n"); err != nil || first != dir+" test -run=^$ -fuzz=^FuzzBad$ -fuzztime=5s ./a" {
		t.Errorf("asked %q, %v", first, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"a_test.go": "package a\nimport \"testing\"\nfunc FuzzX(f *testing.F) {}\n"})
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupt := errors.New("interrupt signal received")
	cancel(interrupt)
	var out strings.Builder
	if err := fuzzing.Run(ctx, fuzzing.Config{Dir: dir, Out: &out}); !errors.Is(err, interrupt) || out.Len() > 0 {
		t.Errorf("Run() = %v, output %q", err, out.String())
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "1m0s <nil>", "2s": "2s <nil>", "1h": "1h0m0s <nil>",
		"60": `0s FUZZTIME is "60": write a time such as 90s`, "-1s": `0s FUZZTIME is "-1s": write a time such as 90s`, "10x": `0s FUZZTIME is "10x": write a time such as 90s`,
	} {
		d, err := fuzzing.ParseTime(text)
		if got := fmt.Sprint(d, " ", err); got != want {
			t.Errorf("ParseTime(%q) = %s, want %s", text, got, want)
		}
	}
}
