package lockfile_test

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"bottle.internal/internal/lockfile"
)

const integrity = "sha512-9Gn+V7DtJ8M1nztP9CeDVl9g3RtrepI7rOFTyPRRnZe8D6zebIHKmC7OvBauucuAP0X0k85SDN/LPVZyjsGezQ=="

func lock() lockfile.File {
	packages := []string{"curl=7.88.1-10+deb12u15", "git=1:2.39.5-0+deb12u3"}
	return lockfile.File{
		Version: 1,
		Bases: []lockfile.Base{
			{Platform: "linux/amd64", From: "buildpack-deps:bookworm-scm", Digest: "sha256:" + strings.Repeat("1", 64)},
			{Platform: "linux/amd64", From: "debian bookworm", Digest: lockfile.Packages(packages), Packages: packages},
		},
		Npm:      []lockfile.Npm{{Tool: "claude", Platform: "linux/amd64", Package: "@a/claude", Version: "1.2.3", Integrity: integrity}},
		Pipelock: &lockfile.Pipelock{Version: "2.3.0", SHA256: strings.Repeat("2", 64)},
		Seen:     []lockfile.Seen{{Name: "docker", Version: "20.10"}, {Name: "qemu", Version: "7.2.22", Digest: "sha256:" + strings.Repeat("3", 64)}},
	}
}

func text(t *testing.T, file lockfile.File) string {
	t.Helper()
	text, err := file.Text()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is written is read back, and the order in which things were found is not seen in it.
func TestTextAndBack(t *testing.T) {
	t.Parallel()
	want := text(t, lock())
	back, err := lockfile.Parse([]byte(want))
	if err != nil || !reflect.DeepEqual(back, lock()) {
		t.Errorf("read back: %+v, %v\nfrom:\n%s", back, err, want)
	}
	other := lock()
	other.Bases[0], other.Bases[1] = other.Bases[1], other.Bases[0]
	other.Seen[0], other.Seen[1] = other.Seen[1], other.Seen[0]
	if got := text(t, other); got != want {
		t.Errorf("in another order:\n%s\nwant:\n%s", got, want)
	}
}

func TestTool(t *testing.T) {
	t.Parallel()
	file := lock()
	file.Npm = append(file.Npm, lockfile.Npm{Tool: "claude", Platform: "linux/arm64", Version: "1.2.4"})
	for _, test := range []struct{ tool, platform, want string }{
		{"claude", "linux/amd64", "1.2.3"},
		{"claude", "linux/arm64", "1.2.4"},
		{"codex", "linux/amd64", ""},
		{"claude", "linux/riscv64", ""},
	} {
		if got, ok := file.Tool(test.tool, test.platform); got.Version != test.want || ok != (test.want != "") {
			t.Errorf("%s for %s: %+v, %v", test.tool, test.platform, got, ok)
		}
	}
}

// The repository's own lock is one that Text would write, and pins every tool of the recipe.
func TestOurs(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("../../" + lockfile.Name)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := lockfile.Parse(ours)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, []byte(text(t, parsed))) {
		t.Error("it was edited by hand: go tool mage update writes it")
	}
	if strings.Contains(string(ours), "://") {
		t.Error("it names a place that packages come from")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := text(t, lock())
	for name, test := range map[string]struct{ from, to, want string }{
		"another version":    {"version = 1", "version = 2", "reading bottle.lock: version 2 is not 1"},
		"unknown field":      {"tool = ", "tol = ", "reading bottle.lock: unknown field npm.tol"},
		"an edited package":  {"7.88.1", "7.88.2", "reading bottle.lock: base linux/amd64 debian bookworm: the digest is not that of the packages"},
		"no package":         {"curl=7.88.1-10+deb12u15", "curl", `reading bottle.lock: base linux/amd64 debian bookworm: "curl" is not a package with its version`},
		"an option":          {"curl=", "--curl=", `reading bottle.lock: base linux/amd64 debian bookworm: "--curl=7.88.1-10+deb12u15" is not a package with its version`},
		"a range":            {`"1.2.3"`, `"^1.2.3"`, `reading bottle.lock: npm claude linux/amd64: version: "^1.2.3" does not look like one`},
		"a weaker integrity": {"sha512-", "sha1-", `reading bottle.lock: npm claude linux/amd64: integrity: "` + strings.Replace(integrity, "sha512", "sha1", 1) + `" does not look like one`},
		"a short digest":     {strings.Repeat("2", 64), "22", `reading bottle.lock: pipelock: sha256: "22" does not look like one`},
		"twice":              {`name = "docker"`, `name = "qemu"`, "reading bottle.lock: seen qemu is there twice"},
		"another system":     {"linux/amd64", "plan9/386", `does not look like one`},
		"no TOML":            {"version = 1", "version = ", "reading bottle.lock: toml: line 4"},
	} {
		broken := strings.Replace(good, test.from, test.to, 1)
		if got, err := lockfile.Parse([]byte(broken)); broken == good || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, test.want)
		}
	}
	bad := lock()
	bad.Seen[0].Version = "20\n[pipelock]"
	if written, err := bad.Text(); err == nil {
		t.Errorf("written:\n%s", written)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	now := lock()
	now = now.WithBase(lockfile.Base{Platform: "linux/amd64", From: "debian bookworm", Packages: []string{"curl=8", "less=1"}})
	now.Npm[0].Version, now.Npm[0].Integrity = "1.3.0", "sha512-new"
	now.Npm = append(now.Npm, lockfile.Npm{Tool: "aider", Platform: "linux/amd64", Package: "aider", Version: "0.1", Integrity: "sha512-a"})
	now.Pipelock = nil
	now.Seen = now.Seen[1:]
	const want = `base linux/amd64 debian bookworm
  ~ curl 7.88.1-10+deb12u15 -> 8
  - git 1:2.39.5-0+deb12u3
  + less 1
npm aider linux/amd64
  + version 0.1
  + integrity sha512-a
  + package aider
npm claude linux/amd64
  ~ version 1.2.3 -> 1.3.0
  ~ integrity ` + integrity + ` -> sha512-new
pipelock
  - version 2.3.0
  - sha256 2222222222222222222222222222222222222222222222222222222222222222
seen docker
  - version 20.10
`
	if got := lockfile.Text(lockfile.Diff(lock(), now)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if changes := lockfile.Diff(lock(), lock()); len(changes) > 0 {
		t.Errorf("nothing changed, and it says %v", changes)
	}
	changes := lockfile.PackageChanges([]string{"a=1", "b=2"}, []string{"b=3"})
	if len(changes) != 2 || changes[0].String() != "- a 1" || changes[1].String() != "~ b 2 -> 3" {
		t.Errorf("changes = %v", changes)
	}
}

func FuzzParse(f *testing.F) {
	good, err := lock().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("version = 1\n[[seen]]\nname = \"\\u0000\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := lockfile.Parse(text)
		if err != nil {
			return
		}
		written, err := parsed.Text()
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", text, err)
		}
		again, err := lockfile.Parse(written)
		if err != nil || len(lockfile.Diff(parsed, again)) > 0 {
			t.Errorf("%q became\n%s\n%v", text, written, err)
		}
	})
}
