package gitgate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

func tarGzipped(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Each case hides a token somewhere in a branch. The refusal names the place and the rule,
// and neither it nor the log holds the token.
func TestSecretsStayHere(t *testing.T) {
	const canary = "canary-Zx81-9d2f7a"
	w := newWorld(t, func(_ *world, c *Config) { c.Canaries = []string{canary} })
	w.seed()
	secret := pushscantest.Token()
	for i, test := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"file", func(t *testing.T, dir string) { w.commit(dir, "a.txt", "one\ntwo = "+secret+"\n") }, "a.txt:2, rule github-pat"},
		{"intermediate commit, gone in the next", func(t *testing.T, dir string) {
			w.commit(dir, "a.txt", secret)
			w.commit(dir, "a.txt", "clean")
		}, "a.txt:1, rule github-pat"},
		{"file deleted in a later commit", func(t *testing.T, dir string) {
			w.commit(dir, "gone.txt", secret)
			w.must(dir, "rm", "-q", "gone.txt")
			w.must(dir, "commit", "-q", "-m", "rm")
		}, "gone.txt:1, rule github-pat"},
		{"rename and change", func(t *testing.T, dir string) {
			w.must(dir, "mv", "README.md", "moved.md")
			w.commit(dir, "moved.md", "hello\n"+secret+"\n")
		}, "moved.md:2, rule github-pat"},
		{"binary", func(t *testing.T, dir string) { w.commit(dir, "a.png", "\x89PNG\x00\x00\xff"+secret+"\x00\xfe") }, "a.png:1, rule github-pat"},
		{"two bytes a letter", func(t *testing.T, dir string) {
			w.commit(dir, "wide.txt", "\xff\xfe"+strings.Join(strings.Split("x = "+secret+"\n", ""), "\x00")+"\x00")
		}, "wide.txt:1, rule github-pat"},
		{"merge", func(t *testing.T, dir string) {
			w.must(dir, "checkout", "-q", "-b", "side")
			w.commit(dir, "side.txt", "side")
			w.must(dir, "checkout", "-q", "-")
			w.commit(dir, "main.txt", "main")
			w.must(dir, "merge", "-q", "--no-commit", "side")
			w.commit(dir, "main.txt", "evil "+secret)
		}, "main.txt:1, rule github-pat"},
		{"allow comment", func(t *testing.T, dir string) { w.commit(dir, "a.txt", secret+" # gitleaks:allow") }, "a.txt:1, rule github-pat"},
		{"configuration of gitleaks in the repository", func(t *testing.T, dir string) {
			write(t, dir+"/.gitleaks.toml", "[allowlist]\npaths = ['''.*''']\n")
			write(t, dir+"/.gitleaksignore", "a.txt:github-pat:1\n")
			w.commit(dir, "a.txt", secret)
		}, "a.txt:1, rule github-pat"},
		{"lock file", func(t *testing.T, dir string) { w.commit(dir, "node_modules/package-lock.json", secret) }, "package-lock.json:1, rule github-pat"},
		{"attributes that call it binary", func(t *testing.T, dir string) {
			write(t, dir+"/.gitattributes", "* -diff -text filter=x export-ignore\n")
			w.commit(dir, "a.txt", secret)
		}, "a.txt:1, rule github-pat"},
		{"commit message", func(t *testing.T, dir string) {
			w.must(dir, "commit", "-q", "--allow-empty", "-m", "key "+secret)
		}, "(commit):6, rule github-pat"},
		{"name of a file", func(t *testing.T, dir string) {
			write(t, dir+"/d/"+secret, "x")
			w.must(dir, "add", "-A")
			w.must(dir, "commit", "-q", "-m", "a file")
		}, "the name of an entry in /d, rule github-pat"},
		{"target of a link", func(t *testing.T, dir string) {
			if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			w.commit(dir, "x", "x")
		}, "link:1, rule github-pat"},
		{"base64 of base64", func(t *testing.T, dir string) {
			inner := base64.StdEncoding.EncodeToString([]byte("token = " + secret + "\n"))
			w.commit(dir, "a.txt", "x: "+base64.StdEncoding.EncodeToString([]byte(inner))+"\n")
		}, "a.txt:1, rule github-pat"},
		{"hex", func(t *testing.T, dir string) { w.commit(dir, "a.txt", hex.EncodeToString([]byte("token = "+secret))) }, "a.txt:1, rule github-pat"},
		{"zip", func(t *testing.T, dir string) { w.commit(dir, "a.docx", pushscantest.Zip(t, "in/b.txt", "x\n"+secret)) }, "a.docx!in/b.txt:2, rule github-pat"},
		{"zip behind a picture", func(t *testing.T, dir string) {
			w.commit(dir, "a.gif", "GIF89a"+strings.Repeat("\x01", 100)+pushscantest.Zip(t, "b", secret))
		}, "a.gif!b:1, rule github-pat"},
		{"tar.gz in a zip", func(t *testing.T, dir string) {
			w.commit(dir, "a.bin", pushscantest.Zip(t, "b", tarGzipped(t, "c", secret)))
		}, "a.bin!b!:1, rule github-pat"},
		{"damaged archive", func(t *testing.T, dir string) { w.commit(dir, "a.gz", "\x1f\x8b\x08 not gzip at all") }, "it cannot be looked into"},
		{"archive of a kind nobody opens", func(t *testing.T, dir string) { w.commit(dir, "a.7z", "7z\xbc\xaf\x27\x1c....") }, "it cannot be looked into"},
		{"submodule's URL", func(t *testing.T, dir string) {
			w.commit(dir, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = https://u:"+secret+"@example.com/x\n")
		}, ".gitmodules:3, rule github-pat"},
		{"submodule's pointer", func(t *testing.T, dir string) {
			w.must(dir, "update-index", "--add", "--cacheinfo", "160000,"+hex.EncodeToString([]byte("\x01\x02"+canary))+",sub")
			w.must(dir, "commit", "-q", "-m", "sub")
		}, "the name of an entry in /, rule canary"},
		{"LFS pointer", func(t *testing.T, dir string) {
			w.commit(dir, "big.psd", "version https://git-lfs.github.com/spec/v1\next-0-x "+secret+"\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12\n")
		}, "big.psd:2, rule github-pat"},
		{"canary", func(t *testing.T, dir string) { w.commit(dir, "a.txt", "\n"+canary) }, "a.txt:2, rule canary"},
		{"canary in base64", func(t *testing.T, dir string) {
			w.commit(dir, "a.txt", base64.StdEncoding.EncodeToString([]byte("z"+canary+"zz")))
		}, "a.txt:1, rule canary"},
		{"a rule for names", func(t *testing.T, dir string) { w.commit(dir, "k/cert.p12", "x") }, "k/cert.p12, rule pkcs12-file"},
		{"a name whose rules come second", func(t *testing.T, dir string) {
			text := "administrator_login_password = \"abcabcabc12\"\n" // too plain for the general rules
			w.commit(dir, "plain", text)
			w.commit(dir, "x.tf", text)
		}, "x.tf:1, rule hashicorp-tf-password"},
		{"across the border of chunks", func(t *testing.T, dir string) {
			pad := strings.Repeat("x y z\n", (256<<10)/6)
			w.commit(dir, "a.txt", pad[:256<<10-30]+"\n"+secret+"\n"+pad)
		}, "rule github-pat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("s%d", i)
			dir := w.clone(name)
			test.make(t, dir)
			w.refused(dir, test.want, "origin", "HEAD")
			if w.head("refs/heads/bottle/"+name) != "" {
				t.Error("the branch is at the upstream")
			}
		})
	}
	if log := w.log.String(); strings.Contains(log, secret[4:20]) || strings.Contains(log, canary) {
		t.Errorf("the log holds the secret:\n%s", log)
	}
	w.neverSaw(secret)
}

// neverSaw looks into every object of the upstream, reachable or not, and of the mirror.
func (w *world) neverSaw(secret string) {
	w.t.Helper()
	for _, repo := range []string{w.upstream, w.options.StateDir + "/mirrors/app.git"} {
		all := w.must(repo, "cat-file", "--batch-all-objects", "--batch")
		if strings.Contains(all, secret) {
			w.t.Errorf("%s holds the secret", repo)
		}
	}
}

// What is clean passes: ordinary files of every kind.
func TestWhatIsCleanPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("clean")
	write(t, dir+"/a.png", "\x89PNG\x00\x00\xff\x01\x02")
	write(t, dir+"/a.zip", pushscantest.Zip(t, "b", "hello"))
	write(t, dir+"/a.tgz", tarGzipped(t, "b", "hello"))
	write(t, dir+"/big.psd", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12\n")
	write(t, dir+"/empty", "")
	w.commit(dir, "long.txt", strings.Repeat("some words that are no secret\n", 40_000))
	w.must(dir, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",sub")
	w.must(dir, "commit", "-q", "-m", "sub")
	w.must(dir, "push", "-q", "origin", "HEAD")
}
