package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/audit"
)

func readAll(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A log goes on where it ended, and says what a killed process left behind.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		cut       func(lines []string) []string
		continued []audit.Continued
	}{
		{"closed", func(l []string) []string { return l }, nil},
		{"killed behind a head", func(l []string) []string { return l[:5] }, nil},
		{"killed before a head", func(l []string) []string { return l[:8] }, []audit.Continued{{Line: 9, Unsigned: 3}}},
		{"killed in a line", func(l []string) []string { return append(l[:7], l[7][:30]) }, []audit.Continued{{Line: 8, Unsigned: 2, Torn: 30}}},
		{"killed in the first line", func(l []string) []string { return []string{l[0][:30]} }, []audit.Continued{{Line: 1, Torn: 30}}},
		{"killed before the first line", func([]string) []string { return nil }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lines, _ := sample(t)
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			must(t, os.WriteFile(path, []byte(strings.Join(test.cut(lines), "")), 0o600))
			for range 2 { // the second finds nothing to say
				log, err := audit.Open(path, testKey(1), noon)
				must(t, err)
				must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "resume"}))
				must(t, log.Close())
				summary, err := verify(readAll(t, path), audit.Expect{Head: log.Head().Hash})
				if err != nil || !slices.Equal(summary.Continued, test.continued) {
					t.Errorf("Verify() = %+v, %v; want %v", summary, err, test.continued)
				}
			}
		})
	}
}

// A head that was printed stays findable after the log has grown.
func TestAnOldHeadIsFound(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	must(t, log.Close())
	old := log.Head()
	log, err := audit.Open(path, testKey(1), noon)
	must(t, err)
	must(t, log.Close())
	if _, err := verify(readAll(t, path), audit.Expect{Head: old.Hash}); err != nil {
		t.Error(err)
	}
	if log.Head().Lines <= old.Lines {
		t.Errorf("Head() = %+v after %+v", log.Head(), old)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	lines, _ := sample(t)
	whole := strings.Join(lines, "")
	for _, test := range []struct {
		name, content, want string
		key                 audit.Key
	}{
		{"a log that was changed", strings.Replace(whole, `"n":1`, `"n":7`, 1), "opening the audit log: line 4 does not have the hash that it names: it was changed", testKey(1)},
		{"a log of another host", whole, "opening the audit log: line 2 is signed with key", testKey(2)},
	} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		must(t, os.WriteFile(path, []byte(test.content), 0o600))
		_, err := audit.Open(path, test.key, noon)
		if broken := (*audit.BrokenError)(nil); !errors.As(err, &broken) || !strings.HasPrefix(text(err), test.want) {
			t.Errorf("%s: Open() = %v, want %s", test.name, err, test.want)
		}
		if got := readAll(t, path); got != test.content {
			t.Errorf("%s: it was written to", test.name)
		}
	}
	dir := t.TempDir()
	if _, err := audit.Open(dir, testKey(1), noon); err == nil {
		t.Error("a directory was opened")
	}
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(filepath.Join(dir, "elsewhere"), link))
	if _, err := audit.Open(link, testKey(1), noon); err == nil {
		t.Error("a symlink was followed")
	}
}

func TestOneWriter(t *testing.T) {
	t.Parallel()
	_, path := open(t)
	_, err := audit.Open(path, testKey(1), noon)
	if want := "opening the audit log: another process writes it: resource temporarily unavailable"; text(err) != want {
		t.Errorf("a second Open() = %v, want %s", err, want)
	}
}
