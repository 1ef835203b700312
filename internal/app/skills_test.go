package app

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/plan"
)

// A skill is read through its root, whoever defined the agent: neither its directory nor a
// file of it may be a symlink that leads out, and none that is turned later is followed.
func TestSkillsStayInsideTheirRoot(t *testing.T) {
	a := newApp(t)
	outside := filepath.Join(a.dirs.home, "outside")
	for path, text := range map[string]string{
		filepath.Join(outside, "SKILL.md"):                  "secret",
		filepath.Join(a.dirs.home, "skills/good/SKILL.md"):  "hello",
		filepath.Join(a.dirs.home, "skills/file/other.md"):  "hello",
		filepath.Join(a.dirs.home, "skills/later/SKILL.md"): "hello",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(a.dirs.home, "skills", name)); err != nil {
			t.Fatal(err)
		}
	}
	link(outside, "directory")
	link("../outside", "relative")
	link("../../outside/SKILL.md", "file/SKILL.md")
	link("good", "within")
	open := func(name string) (map[string]fs.FS, func(), error) {
		return a.skills([]plan.Skill{{Name: name, Dir: "~/skills/" + name, Root: "~/skills"}})
	}
	for _, test := range []struct {
		name        string
		opens, read bool
		outside     bool // in the plan's eyes
	}{
		{"good", true, true, false},
		{"within", true, true, false},
		{"directory", false, false, true},
		{"relative", false, false, true},
		{"file", true, false, false},
	} {
		fact := a.fileFact(plan.FileRef{Path: "~/skills/" + test.name, Root: "~/skills"})
		if fact.Outside != test.outside {
			t.Errorf("%s: the plan is told outside %v, want %v", test.name, fact.Outside, test.outside)
		}
		trees, done, err := open(test.name)
		if (err == nil) != test.opens {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil {
			continue
		}
		text, err := fs.ReadFile(trees[test.name], "SKILL.md")
		if (err == nil) != test.read || string(text) == "secret" {
			t.Errorf("%s: read %q, %v", test.name, text, err)
		}
		done()
	}
	// What was opened stays what it was, when somebody turns the name elsewhere meanwhile.
	trees, done, err := open("later")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := os.Rename(filepath.Join(a.dirs.home, "skills/later"), filepath.Join(a.dirs.home, "skills/gone")); err != nil {
		t.Fatal(err)
	}
	link(outside, "later")
	if text, err := fs.ReadFile(trees["later"], "SKILL.md"); err != nil || string(text) != "hello" {
		t.Errorf("after the name was turned: %q, %v", text, err)
	}
}
