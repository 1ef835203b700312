package digest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/digest"
)

// place has a program that is old enough to be remembered, and nothing in memory.
func place(t *testing.T) (program, memory string) {
	t.Helper()
	dir := t.TempDir()
	return filepath.Join(dir, "program"), filepath.Join(dir, "cache", "digests.json")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestSumsAndChanges(t *testing.T) {
	t.Parallel()
	program, memory := place(t)
	files := []digest.File{{Name: "tool", Path: program}}
	for _, step := range []struct{ text, was string }{{"one", ""}, {"one", ""}, {"two", sum("one")}, {"two", ""}, {"one", sum("two")}} {
		write(t, program, step.text)
		got := digest.Of(t.Context(), files, memory)
		if len(got) != 1 || got[0] != (digest.Sum{Name: "tool", SHA256: sum(step.text), Was: step.was}) {
			t.Errorf("after %+v: %+v", step, got)
		}
	}
	other := program + "-2"
	write(t, other, "three")
	if got := digest.Of(t.Context(), []digest.File{{Name: "tool", Path: other}}, memory); got[0].Was != sum("one") {
		t.Errorf("another file of the name: %+v", got)
	}
}

// A memory that says something else shows which files are read: an old one that is as it
// was is not, every other one is.
func TestOnlyWhatChangedIsRead(t *testing.T) {
	t.Parallel()
	const lie = "00000000000000000000000000000000000000000000000000000000000000ff"
	program, memory := place(t)
	write(t, program, "one")
	files := []digest.File{{Name: "tool", Path: program}}
	digest.Of(t.Context(), files, memory)
	write(t, memory, strings.Replace(memoryOf(t, memory), sum("one"), lie, 1))
	if got := digest.Of(t.Context(), files, memory); got[0].SHA256 != lie {
		t.Errorf("an unchanged file was read again: %+v", got)
	}
	// The same size and mtime: the ctime tells.
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	write(t, program, "two")
	if err := os.Chtimes(program, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := digest.Of(t.Context(), files, memory); got[0].SHA256 != sum("two") || got[0].Was != lie {
		t.Errorf("a changed file was not read: %+v", got)
	}
}

func memoryOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	program, memory := place(t)
	write(t, program, "one")
	files := []digest.File{{"gone", program + "-gone"}, {"dir", filepath.Dir(program)}, {"tool", program}}
	got := digest.Of(t.Context(), files, memory)
	want := "gone unknown (open " + program + "-gone: no such file or directory), dir unknown (" + filepath.Dir(program) + " is not a regular file), tool " + sum("one")[:12]
	if line := digest.Line(got); line != want {
		t.Errorf("%s\nwant %s", line, want)
	}
	if all := digest.Map(got); all["tool"] != sum("one") || !strings.HasPrefix(all["gone"], "unknown: open ") {
		t.Errorf("%v", all)
	}
	write(t, program, "another")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := digest.Of(ctx, files[2:], memory); got[0].SHA256 != "" || got[0].Problem != "context canceled" {
		t.Errorf("with an ended context: %+v", got)
	}
}

// Whatever the memory holds, the sums are right.
func TestDamagedMemory(t *testing.T) {
	t.Parallel()
	program, memory := place(t)
	write(t, program, "one")
	if err := os.MkdirAll(filepath.Dir(memory), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "null", "[]", "{", `{"tool":{"sha256":"short"}}`, `{"tool":null}`} {
		write(t, memory, text)
		got := digest.Of(t.Context(), []digest.File{{Name: "tool", Path: program}}, memory)
		if got[0].SHA256 != sum("one") {
			t.Errorf("%s: %+v", text, got)
		}
		var whole map[string]any
		if err := json.Unmarshal([]byte(memoryOf(t, memory)), &whole); err != nil || len(whole) != 1 {
			t.Errorf("%s: the memory is %v, %v", text, whole, err)
		}
	}
}
