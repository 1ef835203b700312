package gitgate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

// Every push to a remote with approve waits; the question names exactly what is pushed.
func TestApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, c *Config) { c.Remotes[0].Approve = true })
	w.seed()
	dir := w.clone("one")
	commit := w.commit(dir, "a", "1")
	w.refused(dir, "it needs approval, and nobody can be asked: nobody is there", "origin", "HEAD")
	for _, test := range []struct{ decision, want string }{
		{"pending", "waiting for approval (p-1); push again after it was approved"},
		{"rejected", "rejected (p-1)"},
		{"", "the answer was not understood"},
		{"Approved", "the answer was not understood"},
	} {
		w.channel.answer(func(approvalQuestion) (approvalAnswer, error) { return approvalAnswer{test.decision, "p-1"}, nil })
		w.refused(dir, test.want, "origin", "HEAD")
	}
	w.channel.answer(func(approvalQuestion) (approvalAnswer, error) { return approvalAnswer{Decision: "approved"}, nil })
	w.must(dir, "push", "-q", "origin", "HEAD")
	want := approvalQuestion{
		Remote: "app", Refs: []refLine{{"refs/heads/bottle/one", zeroOID, commit}}, Commits: 1,
		Files: []string{}, Reasons: []string{"every push to this remote needs approval"},
	}
	for _, asked := range w.channel.asked {
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("asked:\n%s", diff)
		}
	}
	if n := len(w.events(eventApproval)); n != 6 {
		t.Errorf("%d approvals in the log", n)
	}
}

// A secret is refused without a question: nobody can approve it by mistake.
func TestSecretsAreNotAskedAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *Config) { c.Remotes[0].Approve = true })
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", pushscantest.Token())
	w.refused(dir, "rule github-pat", "origin", "HEAD")
	if len(w.channel.asked) > 0 {
		t.Error("a human was asked")
	}
}

func TestProtectedFiles(t *testing.T) {
	w := newWorld(t, nil)
	w.seed()
	w.commit(w.dir+"/seed", ".github/workflows/old.yml", "on: push\n")
	w.commit(w.dir+"/seed", "lib/x.yml", "x\n")
	w.must(w.dir+"/seed", "push", "-q", w.upstream, "HEAD:refs/heads/main")
	link := func(to, at string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			_ = os.RemoveAll(filepath.Join(dir, at))
			if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
				t.Fatal(err)
			}
			w.commit(dir, "z", "z")
		}
	}
	for name, test := range map[string]struct {
		make func(*testing.T, string)
		want string // the files that are asked about
	}{
		"added":      {func(_ *testing.T, dir string) { w.commit(dir, ".github/workflows/ci.yml", "x") }, ".github/workflows/ci.yml"},
		"changed":    {func(_ *testing.T, dir string) { w.commit(dir, ".github/workflows/old.yml", "y") }, ".github/workflows/old.yml"},
		"other-case": {func(_ *testing.T, dir string) { w.commit(dir, ".GitHub/Workflows/ci.yml", "x") }, ".GitHub/Workflows/ci.yml"},
		"taken-back": {func(_ *testing.T, dir string) {
			w.commit(dir, "Jenkinsfile", "x")
			w.must(dir, "rm", "-q", "Jenkinsfile")
			w.must(dir, "commit", "-q", "-m", "rm")
		}, "Jenkinsfile"},
		"below": {func(_ *testing.T, dir string) { w.commit(dir, "ci/Jenkinsfile", "x") }, "ci/Jenkinsfile"},
		"renamed": {func(_ *testing.T, dir string) {
			w.must(dir, "mv", "lib/x.yml", ".github/workflows/x.yml")
			w.must(dir, "commit", "-q", "-m", "mv")
		}, ".github/workflows/x.yml"},
		"mode": {func(t *testing.T, dir string) {
			if err := os.Chmod(dir+"/.github/workflows/old.yml", 0o755); err != nil {
				t.Fatal(err)
			}
			w.commit(dir, "z", "z")
		}, ".github/workflows/old.yml"},
		"link-file": {link("../../lib/x.yml", ".github/workflows/l.yml"), ".github/workflows/l.yml"},
		"link-dir":  {link("lib", ".github"), ".github"},
		"modules": {func(_ *testing.T, dir string) {
			w.commit(dir, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = https://example.com/x\n")
		}, ".gitmodules"},
		"merge": {func(_ *testing.T, dir string) {
			w.must(dir, "checkout", "-q", "-b", "side")
			w.commit(dir, "s", "s")
			w.must(dir, "checkout", "-q", "-")
			w.commit(dir, "m", "m")
			w.must(dir, "merge", "-q", "--no-commit", "side")
			w.commit(dir, ".github/workflows/m.yml", "x")
		}, ".github/workflows/m.yml"},
		"not": {func(_ *testing.T, dir string) {
			w.commit(dir, ".github/CODEOWNERS", "x")
			w.commit(dir, "Jenkinsfile.md", "x")
			w.must(dir, "rm", "-q", ".github/workflows/old.yml")
			w.must(dir, "commit", "-q", "-m", "rm")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := w.clone(name)
			test.make(t, dir)
			w.channel.mu.Lock()
			w.channel.asked = nil
			w.channel.mu.Unlock()
			w.channel.answer(func(approvalQuestion) (approvalAnswer, error) { return approvalAnswer{"pending", "p"}, nil })
			if test.want == "" {
				w.must(dir, "push", "-q", "origin", "HEAD")
				return
			}
			w.refused(dir, "waiting for approval (p)", "origin", "HEAD")
			if got := strings.Join(w.channel.asked[0].Files, " "); got != test.want {
				t.Errorf("asked about %q, want %q", got, test.want)
			}
		})
	}
}
