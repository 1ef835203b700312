package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tag has a major version below 2: Go takes no other for a module without /v2 in its path.
const tag = "v0.9.8"

// TestRelease makes a release of HEAD twice, in two directories, and looks at what came
// out. It takes minutes, the first time more: BOTTLE_SLOW=1 go test ./tests/release.
func TestRelease(t *testing.T) {
	if os.Getenv("BOTTLE_SLOW") != "1" {
		t.Skip("it takes minutes: BOTTLE_SLOW=1")
	}
	if runtime.GOOS != "linux" {
		t.Skip("it installs a Debian package")
	}
	dir, commit := t.TempDir(), strings.TrimSpace(run(t, command(root, "git", "rev-parse", "HEAD")))
	first := made(t, filepath.Join(dir, "one"), commit)
	t.Run("the same bytes twice", func(t *testing.T) {
		second := made(t, filepath.Join(dir, "another", "directory"), commit)
		one, other := read(t, filepath.Join(first, "SHA256SUMS")), read(t, filepath.Join(second, "SHA256SUMS"))
		if !bytes.Equal(one, other) {
			t.Errorf("two releases of one commit differ:\n%s\n%s", one, other)
		}
	})
	t.Run("checksums", func(t *testing.T) { checksums(t, first) })
	t.Run("archives", func(t *testing.T) { archives(t, first, commit) })
	t.Run("SBOMs", func(t *testing.T) { sboms(t, first) })
	t.Run("cask", func(t *testing.T) { cask(t, first) })
	t.Run("deb", func(t *testing.T) { deb(t, first, commit) })
}

// made clones a commit, tags it and makes the release; it returns dist.
func made(t *testing.T, dir, commit string) string {
	t.Helper()
	run(t, command(".", "git", "clone", "-q", root, dir))
	run(t, command(dir, "git", "checkout", "-q", "--detach", commit))
	run(t, command(dir, "git", "tag", "--force", tag))
	run(t, command(dir, "go", "tool", "mage", "release"))
	if left := run(t, command(dir, "git", "status", "--porcelain")); left != "" {
		t.Errorf("making a release changed the checkout:\n%s", left)
	}
	return filepath.Join(dir, "dist")
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd
}

// run returns stdout.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", cmd, err, out, errs.String())
	}
	return string(out)
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// checksums holds the list against the files, and wants all kinds of files in it.
func checksums(t *testing.T, dist string) {
	var kinds []string
	for line := range strings.Lines(string(read(t, filepath.Join(dist, "SHA256SUMS")))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got := sha256.Sum256(read(t, filepath.Join(dist, name)))
		if hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s is not what SHA256SUMS says", name)
		}
		kinds = append(kinds, name)
	}
	want := []string{"bottle-0.9.8-1.aarch64.rpm", "bottle-0.9.8-1.x86_64.rpm", "bottle_0.9.8_amd64.deb", "bottle_0.9.8_arm64.deb"}
	for _, platform := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"} {
		want = append(want, "bottle_0.9.8_"+platform+".spdx.json", "bottle_0.9.8_"+platform+".tar.gz")
	}
	slices.Sort(kinds)
	slices.Sort(want)
	if !slices.Equal(kinds, want) {
		t.Errorf("the release has %q\nwant %q", kinds, want)
	}
}

// archives looks into the four tarballs: a program for that platform, of this commit, that
// names no directory of the machine that built it.
func archives(t *testing.T, dist, commit string) {
	built := filepath.Dir(dist)
	for _, platform := range []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64"} {
		name := "bottle_0.9.8_" + strings.ReplaceAll(platform, "/", "_")
		files := untar(t, filepath.Join(dist, name+".tar.gz"))
		for _, wanted := range []string{
			"LICENSE", "README.md", "CHANGELOG.md", "completions/bottle.bash", "completions/_bottle", "completions/bottle.fish", "man/bottle.1.gz", "man/bottle-start.1.gz",
		} {
			if len(files[path.Join(name, wanted)]) == 0 {
				t.Errorf("%s has no %s", name, wanted)
			}
		}
		program := files[path.Join(name, "bottle")]
		info, err := buildinfo.Read(bytes.NewReader(program))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		settings := map[string]string{}
		for _, setting := range info.Settings {
			settings[setting.Key] = setting.Value
		}
		if got := settings["GOOS"] + "/" + settings["GOARCH"]; got != platform || settings["CGO_ENABLED"] != "0" {
			t.Errorf("%s is for %s, cgo %s", name, got, settings["CGO_ENABLED"])
		}
		if info.Main.Version != tag || settings["vcs.revision"] != commit || settings["vcs.modified"] != "false" {
			t.Errorf("%s is %s of %s, modified %s", name, info.Main.Version, settings["vcs.revision"], settings["vcs.modified"])
		}
		if bytes.Contains(program, []byte(built)) {
			t.Errorf("%s names the directory that it was built in", name)
		}
	}
}

func untar(t *testing.T, name string) map[string][]byte {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uname != "root" && header.Uname != "" {
			t.Errorf("%s: %s belongs to %s", filepath.Base(name), header.Name, header.Uname)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// sboms wants each program's modules in its document, and the program's own digest.
func sboms(t *testing.T, dist string) {
	for _, platform := range []string{"darwin_amd64_v1", "darwin_arm64_v8.0", "linux_amd64_v1", "linux_arm64_v8.0"} {
		short := strings.Join(strings.Split(platform, "_")[:2], "_")
		program := read(t, filepath.Join(dist, "bottle_"+platform, "bottle"))
		sum := sha256.Sum256(program)
		info, err := buildinfo.Read(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		text := read(t, filepath.Join(dist, "bottle_0.9.8_"+short+".spdx.json"))
		var doc struct {
			Packages []struct {
				Name string `json:"name"`
			} `json:"packages"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte(hex.EncodeToString(sum[:]))) {
			t.Errorf("%s: the document is about another program", platform)
		}
		there := map[string]bool{}
		for _, one := range doc.Packages {
			there[one.Name] = true
		}
		for _, name := range []string{"bottle", "stdlib", "guest", "bundle", "smolvm-lite", "lite-init"} {
			if !there[name] {
				t.Errorf("%s: the document lacks %s", platform, name)
			}
		}
		for _, module := range info.Deps {
			if !there[module.Path] {
				t.Errorf("%s: the document lacks %s", platform, module.Path)
			}
		}
	}
}

// cask wants the digests of the archives in the cask.
func cask(t *testing.T, dist string) {
	text := read(t, filepath.Join(dist, "homebrew", "Casks", "bottle.rb"))
	for _, platform := range []string{"darwin_amd64", "darwin_arm64"} {
		sum := sha256.Sum256(read(t, filepath.Join(dist, "bottle_0.9.8_"+platform+".tar.gz")))
		if !bytes.Contains(text, []byte(`sha256 "`+hex.EncodeToString(sum[:])+`"`)) {
			t.Errorf("the cask does not have the digest of the archive for %s", platform)
		}
	}
}

// deb installs the package for this machine below a directory, uses what is in it without
// Go and without a checkout, and removes it.
func deb(t *testing.T, dist, commit string) {
	instdir := t.TempDir()
	for _, dir := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(instdir, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(instdir, "var/lib/dpkg", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := []string{"--root=" + instdir, "--log=/dev/null", "--force-not-root"}
	run(t, command(".", "dpkg", append(dpkg, "-i", filepath.Join(dist, "bottle_0.9.8_"+runtime.GOARCH+".deb"))...))

	bottle := func(args ...string) string {
		cmd := command(instdir, filepath.Join(instdir, "usr/bin/bottle"), args...)
		cmd.Env = []string{"HOME=" + instdir, "PATH=/nonexistent", "BOTTLE_BASE=scratch"}
		return run(t, cmd)
	}
	if got, want := bottle("version"), "bottle "+tag+"\ncommit "+commit+" of 20"; !strings.HasPrefix(got, want) {
		t.Errorf("version says %q, want %q", got, want)
	}
	for shell, place := range map[string]string{
		"bash": "usr/share/bash-completion/completions/bottle", "zsh": "usr/share/zsh/vendor-completions/_bottle",
		"fish": "usr/share/fish/vendor_completions.d/bottle.fish",
	} {
		if got := string(read(t, filepath.Join(instdir, place))); got != bottle("completion", shell) {
			t.Errorf("%s is not the completion for %s", place, shell)
		}
	}
	man := command(instdir, "man", "--local-file", "usr/share/man/man1/bottle-start.1.gz")
	man.Env = []string{"PATH=/usr/bin:/bin", "MANPAGER=cat", "LC_ALL=C.UTF-8"}
	if page := run(t, man); !regexp.MustCompile(`(?s)^BOTTLE-START\(1\).*SYNOPSIS.*bottle start`).MatchString(page) {
		t.Errorf("the manual page of start: %.300s", page)
	}
	if pages := strings.Count(bottle("man", filepath.Join(instdir, "pages")), "\n"); pages != len(glob(t, filepath.Join(instdir, "usr/share/man/man1/*.gz"))) {
		t.Errorf("bottle has %d manual pages, the package another number", pages)
	}
	// It carries its own programs: no Go, no checkout.
	if image := bottle("sbom", "--bundle"); !strings.Contains(image, `"name": "/usr/local/bin/bundle"`) {
		t.Error("the installed bottle cannot build the bundle's image")
	}
	run(t, command(".", "dpkg", append(dpkg, "--purge", "bottle")...))
	if left := glob(t, filepath.Join(instdir, "usr/bin/*")); len(left) > 0 {
		t.Errorf("removing the package left %q", left)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
