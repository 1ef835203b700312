package pathcheck_test

import (
	"path"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/workspace/pathcheck"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const git, absolute, dot = "git's own directory", "an absolute path, or an empty component", "a dot component"
	for name, want := range map[string]string{
		"a": "", "a/b c/d": "", "a\nb": "", "\xff\xfe": "", ".gitignore": "", ".github/x": "", "git": "", "a.git": "", "x/.gitmodules": "", "…": "",
		"-rf": "", "git~": "", "git~x": "", ".git2": "", "é": "", "a:b": "", `a\b`: "",
		"":   "an empty path",
		"/a": absolute, "a/": absolute, "a//b": absolute,
		".": dot, "..": dot, "../a": dot, "a/../b": dot, "a/.": dot,
		"a\x00b":                 "a zero byte in a path",
		strings.Repeat("a", 256): "a component of 256 bytes", strings.Repeat("a/", 2100) + "a": "a path of 4201 bytes",

		".git": git, ".git/hooks/x": git, "a/.git/config": git, ".GIT": git, ".Git": git,
		".git ": git, ".git.": git, ".git . .": git, ".git\u200c": git, ".g\u200dit": git, "\ufeff.git": git, ".gi\u202et": git, "\u206a.git/x": git,
		"GIT~1": git, "git~1/config": git, "git~27": git, ".git::$INDEX_ALLOCATION": git, ".git:x": git,
		`.git\hooks`: git, `a\.git\hooks`: git, `a\GIT~1`: git,
		".bottle-apply": "copy-out's own directory", "a/.BOTTLE-apply/x": "copy-out's own directory",
	} {
		if got := text(pathcheck.Check(name)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestCheckLink(t *testing.T) {
	t.Parallel()
	const out, absolute, git = "a link that leads out of the directory", "a link to an absolute path", "a link into git's own directory"
	for _, test := range []struct{ name, target, want string }{
		{"a", "b", ""},
		{"a", "b/c", ""},
		{"a", "./b", ""},
		{"a/b", "../c", ""},
		{"a/b/c", "../../d/e", ""},
		{"a", "does/not/exist", ""},
		{"a/b", "..", ""},
		{"a", "", "a link to nothing"},
		{"a", "b\x00", "a target that no file system takes"},
		{"a", strings.Repeat("x", 4096), "a target that no file system takes"},
		{"a", "/etc/passwd", absolute},
		{"a", "..", out},
		{"a", "../b", out},
		{"a/b", "../../c", out},
		{"a", "./../b", out},
		{"a", "b/../c", out}, // b may be a link itself
		{"x/y/a", "b/../c", out},
		{"a", "b/../../c", out},
		{"a", ".git", git},
		{"a", ".git/hooks", git},
		{"a/b", "../.GIT/config", git},
		{"a", "b/git~1", git},
	} {
		if got := text(pathcheck.CheckLink(test.name, test.target)); got != test.want {
			t.Errorf("%q -> %q: %q, want %q", test.name, test.target, got, test.want)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kept, added, want string }{
		{"a", "b", ""},
		{"a/b", "a/c", ""},
		{"a", "a", ""},
		{"a/b/c", "a/x/y", ""},
		{"README", "readme", "README is the same name on some file systems"},
		{"Dir/a", "dir/b", "Dir is the same name on some file systems"},
		{"x/Dir/a", "x/dir", "x/Dir is the same name on some file systems"},
		{"caf\u00e9", "cafe\u0301", "caf\u00e9 is the same name on some file systems"},
		{"STRASSE", "stra\u00dfe", "STRASSE is the same name on some file systems"},
		{"a", "a\u200c", "a is the same name on some file systems"},
		{"a\xff", "a\xfe", ""},
		{"a", "a/b", "a is a file, and a directory too"},
		{"a/b", "a", "a is a directory, and a file too"},
	} {
		tree := pathcheck.NewTree()
		tree.Keep(test.kept)
		if got := text(tree.Add(test.added)); got != test.want {
			t.Errorf("%q beside %q: %q, want %q", test.added, test.kept, got, test.want)
		}
	}
	// What the host has already is beside each other, whatever it is.
	tree := pathcheck.NewTree()
	tree.Keep("a")
	tree.Keep("A")
	if err := tree.Add("b"); err != nil {
		t.Error(err)
	}
}

func TestBareRepository(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		paths []string
		name  string
		want  string // "": none
	}{
		{[]string{"x/HEAD", "x/objects/a", "x/refs/heads/b"}, "x/HEAD", "x"},
		{[]string{"x/HEAD", "x/objects/a", "x/refs/heads/b"}, "x/refs/heads/b", "x"},
		{[]string{"x/head", "x/Objects/a", "x/config"}, "x/config", "x"},
		{[]string{"HEAD", "objects/a", "hooks/b"}, "hooks/b", "."},
		{[]string{"x/HEAD", "x/packed-refs"}, "x/packed-refs", "x"},
		{[]string{"x/HEAD", "x/commondir"}, "x/HEAD", "x"},
		{[]string{"x/HEAD", "x/objects/a", "x/readme"}, "x/readme", ""},
		{[]string{"x/HEAD", "x/readme"}, "x/HEAD", ""},
		{[]string{"objects/a", "refs/b"}, "objects/a", ""},
	} {
		tree := pathcheck.NewTree()
		for _, name := range test.paths {
			tree.Keep(name)
		}
		dir, found := pathcheck.BareRepository(test.name, tree.Has)
		if dir != test.want || found != (test.want != "") {
			t.Errorf("%q of %q: %q, %v, want %q", test.name, test.paths, dir, found, test.want)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	secrets, sensitive := pathcheck.NewGlobs(pathcheck.SecretNames()), pathcheck.NewGlobs(pathcheck.SensitiveNames())
	for _, test := range []struct {
		globs pathcheck.Globs
		yes   []string
		no    []string
	}{
		{secrets, []string{
			".env", "a/.env", ".env.local", ".ENV", "tls.pem", "a/b.key", "id_ed25519", "id_rsa.pub", "x/id_ecdsa", ".netrc", ".git-credentials", ".aws/credentials",
			"home/.ssh/config", ".docker/config.json", "a/.docker/config.json", "x.p12", "kubeconfig", ".kube/config", "terraform.tfstate",
		}, []string{"env", "environment", "a.env", "key", "id_", "identity", "config.json", "docker/config.json", "README.md", "idea", ".npmrc"}},
		{sensitive, []string{
			".envrc", ".vscode/tasks.json", "a/.vscode/x/y", ".vscode", ".idea/x", ".mcp.json", ".claude/settings.json", "CLAUDE.md", "sub/claude.md", "AGENTS.md",
			".husky/pre-commit", "bottle.toml", ".gitmodules", ".gitattributes",
		}, []string{"main.go", "vscode/x", "docs/claude/x", "husky", "Makefile"}},
	} {
		for _, name := range test.yes {
			if _, found := test.globs.Match(name); !found {
				t.Errorf("%q is not in the table", name)
			}
		}
		for _, name := range test.no {
			if pattern, found := test.globs.Match(name); found {
				t.Errorf("%q is in the table: %s", name, pattern)
			}
		}
	}
}

// FuzzCheck: what is taken is canonical, stays inside, and no spelling of .git that we know
// of is in it.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"a/b", ".git", "../a", ".g\u200cit/x", "GIT~1", `a\.git`, "a//b", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if pathcheck.Check(name) != nil {
			return
		}
		if path.Clean(name) != name || !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
			t.Errorf("%q was taken", name)
		}
		for component := range strings.SplitSeq(name, "/") {
			if strings.EqualFold(strings.TrimRight(component, " ."), ".git") {
				t.Errorf("%q was taken", name)
			}
		}
		tree := pathcheck.NewTree()
		if err := tree.Add(name); err != nil {
			t.Errorf("%q in an empty tree: %v", name, err)
		}
	})
}

// FuzzCheckLink: resolved by the letter, a link that is taken stays inside.
func FuzzCheckLink(f *testing.F) {
	f.Add("a/b", "../c")
	f.Add("a", "b/../../c")
	f.Fuzz(func(t *testing.T, name, target string) {
		if pathcheck.Check(name) != nil || pathcheck.CheckLink(name, target) != nil {
			return
		}
		if resolved := path.Join(path.Dir(name), target); path.IsAbs(target) || resolved == ".." || strings.HasPrefix(resolved, "../") {
			t.Errorf("%q -> %q leads to %q", name, target, resolved)
		}
	})
}
