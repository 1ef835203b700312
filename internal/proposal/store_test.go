package proposal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
	"bottle.internal/tests/eventually"
)

// The queue is files of this user's own making: what else is there is never followed, opened
// for long or believed, and it is told.
func TestPlantedFilesAreRefused(t *testing.T) {
	t.Parallel()
	planted := strings.Repeat("a", 64) + ".json"
	for _, test := range []struct {
		name  string
		plant func(b *bench, path string) error
		want  string
	}{
		{"a symlink", func(b *bench, path string) error { return os.Symlink(b.path("target"), path) }, "is no regular file"},
		{"a symlink out of the instance", func(_ *bench, path string) error { return os.Symlink("/etc/passwd", path) }, "is no regular file"},
		{"a hard link", func(b *bench, path string) error { return os.Link(b.path("target"), path) }, "has more than one name"},
		{"a pipe", func(_ *bench, path string) error { return syscall.Mkfifo(path, 0o600) }, "is no regular file"},
		{"a directory", func(_ *bench, path string) error { return os.Mkdir(path, 0o700) }, "is no regular file"},
		{"a large file", func(_ *bench, path string) error { return os.WriteFile(path, make([]byte, 65<<10), 0o600) }, "has 66560 bytes, at most 65536 are allowed"},
		{"no JSON", func(_ *bench, path string) error { return os.WriteFile(path, []byte("hello"), 0o600) }, "it is no JSON object"},
		{"another's id", func(_ *bench, path string) error {
			return os.WriteFile(path, []byte(`{"id":"`+strings.Repeat("b", 64)+`","kind":"capability-request","created":"2026-11-01T10:00:00Z","round":0,"capability":{"capability":"x","justification":"y"}}`), 0o600)
		}, "its id is not that of its content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			good := b.must("a.example.com")
			b.write(b.path("target"), "{}")
			if err := test.plant(b, b.path("proposals", planted)); err != nil {
				t.Fatal(err)
			}
			views, problems := b.desk.List()
			if len(views) != 1 || views[0].Proposal.ID != good || len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
				t.Errorf("List = %d views, %v", len(views), problems)
			}
			if err := test.plant(b, b.path("decisions", good+".json")); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "the tampering is told", func() bool { return strings.Contains(b.audited(), "queue-tampered") })
			if _, err := b.desk.Decide(good, yes()); err == nil {
				t.Error("a decision was made over a planted one")
			}
			b.reopen()
			if a, err := b.ask("a.example.com"); err != nil || a.Status != ask.Pending {
				t.Errorf("the good proposal: %+v, %v", a, err)
			}
			if len(b.changes) > 0 {
				t.Errorf("a planted decision counted: %+v", b.changes)
			}
		})
	}
}

func TestQueueDirectoryMustBePrivate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"open to others": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a symlink":      func(dir string) error { return os.Symlink(filepath.Dir(dir), dir) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		dir := t.TempDir()
		if err := spoil(filepath.Join(dir, "supervise")); err != nil {
			t.Fatal(err)
		}
		if _, err := proposal.Open(proposal.Config{Instance: dir}); fmt.Sprint(err) != "opening the queue: supervise is no private directory of ours" {
			t.Errorf("%s: Open = %v", name, err)
		}
	}
	if _, err := proposal.OpenDesk(t.TempDir(), "demo-x7k2p"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenDesk without a queue = %v", err)
	}
}

func TestKeptFileIsStrict(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"approved":[]}`:       "<nil>",
		`{}`:                    "<nil>",
		`[]`:                    "reading approved.json: it is no JSON object",
		`{"approved":[],"x":1}`: `reading approved.json: unknown field "x"`,
		`{"approved":[{"egress_allow":{"host":"10.0.0.1","justification":"x"}}]}`: `reading approved.json: host "10.0.0.1": it is an address; only names can be asked for`,
		`{"approved":[{"egress_allow":{"host":"A.b","justification":"x"}}]}`:      `reading approved.json: host "A.b": names under .b`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "approved.json"), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := proposal.ReadKept(dir)
		if strings.Contains(data, "A.b") {
			want = "reading approved.json: A.b is not in canonical form"
		}
		if fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
}

// A kept approval that does not fit the plan any more is left out and told, never widened.
func TestKeptThatDoesNotFit(t *testing.T) {
	t.Parallel()
	kept := []proposal.Kept{
		{ID: strings.Repeat("a", 64), Allow: allow(t, `{"host":"auth.example.com","methods":["POST"],"justification":"x"}`)},
		{ID: strings.Repeat("b", 64), Allow: allow(t, `{"host":"new.example.com","justification":"x"}`)},
	}
	p, problems := proposal.ApplyKept(basePlan(), kept)
	if len(p.Egress) != len(basePlan().Egress)+1 || len(problems) != 1 ||
		problems[0].Error() != "approval aaaaaaaaaaaa is left out: auth.example.com USES env:TOKEN: the approval must name the host once more" {
		t.Errorf("%d routes, %v", len(p.Egress), problems)
	}
}

// Files are whole, private, and hold nothing that a terminal obeys.
func TestFilesOfTheQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, err := b.askFor(`{"host":"a.example.com","justification":"\u001b[2J\u202e\u009b"}`)
	if err != nil {
		t.Fatal(err)
	}
	path := b.path("proposals", a.ID+".json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, r := range string(raw) {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Errorf("the file holds %U", r)
		}
	}
	entries, err := os.ReadDir(b.path("proposals"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: temporary files are left", entries, err)
	}
}

// FuzzProposalFile plants any bytes as a proposal: what is read is what its name says.
func FuzzProposalFile(f *testing.F) {
	const id = "0aef1ea7b6ac5a6ca5dbb6f5de30d5f1bba84b0f6cdb04b2c6fb1a59b4b0c1de"
	f.Add([]byte(`{"id":"` + id + `","bottle":"demo-x7k2p","kind":"capability-request","created":"2026-11-01T10:00:00Z","round":0,"capability":{"capability":"x","justification":"y"}}`))
	f.Add([]byte(`{"kind":"push-approval","push":{"remote":"app","ref":"refs/heads/x","old":"","new":""}}`))
	dir := f.TempDir()
	queue, err := proposal.Open(proposal.Config{Instance: dir, Plan: basePlan()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(queue.Close)
	desk, err := proposal.OpenDesk(dir, basePlan().Identity)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(desk.Close)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, sub := range []string{"proposals", "decisions", "outcomes"} {
			if err := os.WriteFile(filepath.Join(dir, "supervise", sub, id+".json"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if view, err := desk.View(id); err == nil {
			t.Fatalf("accepted %+v", view)
		}
	})
}
