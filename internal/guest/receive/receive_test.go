package receive_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/guest/receive"
	"bottle.internal/internal/guestapi"
)

type entry struct {
	name, data string
	kind       byte // 0: a file
	mode       int64
}

// pack makes an archive whose first entry is first.
func pack(t testing.TB, first string, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range append([]entry{{name: receive.InstructionsName, data: first}}, entries...) {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.data)), Uid: 1000, Gid: 1000}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if e.kind == tar.TypeSymlink {
			header.Linkname, header.Size = e.data, 0
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := w.Write([]byte(e.data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// newPlace is a guest that was provisioned before.
func newPlace(t testing.TB) receive.Place {
	t.Helper()
	p := receive.Place{Root: t.TempDir(), Chown: func(string, int, int) error { return nil }}
	write(t, p, guestapi.ReadyFile, "")
	return p
}

func write(t testing.TB, p receive.Place, name, text string) {
	t.Helper()
	full := filepath.Join(p.Root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, p receive.Place, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.Root, name))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func ready(p receive.Place) bool {
	_, err := os.Lstat(filepath.Join(p.Root, guestapi.ReadyFile))
	return err == nil
}

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	const one = "entries 1\n"
	file := entry{name: "home/a", data: "x", mode: 0o600}
	for _, test := range []struct {
		name    string
		archive []byte
		want    string
		touched bool // the ready file is gone, because changes may have begun
	}{
		{"nothing", nil, "instructions: the archive is cut off: unexpected EOF", false},
		{"no archive", []byte(strings.Repeat("x", 512)), "instructions: archive/tar: invalid tar header", false},
		{"no instructions", pack(t, one)[:512], "instructions: the archive is cut off: unexpected EOF", false},
		{"cut off instructions", pack(t, one+"remove /a")[:512], "instructions: the archive is cut off: unexpected EOF", false},
		{"half a line", pack(t, one+"remove /a"), `instructions: "remove /a" has no end`, false},
		{"no number", pack(t, "entries x\n"), `instructions: strconv.Atoi: parsing "x": invalid syntax`, false},
		{"empty instructions", pack(t, "", file), "files: there are more than 0 entries", true},
		{"another first entry", pack(t, one, file)[1024:], `instructions: the first entry is "home/a" with 1 bytes, want bottle-instructions`, false},
		{"unknown instruction", pack(t, one+"run sh\n", file), `instructions: unknown word "run"`, false},
		{"relative", pack(t, "remove home\n"), `instructions: path "home": want an absolute path without dot segments`, false},
		{"everything", pack(t, "remove /\n"), `instructions: path "/": want an absolute path without dot segments`, false},
		{"dots", pack(t, "workdir /srv/../etc\n"), `instructions: path "/srv/../etc": want an absolute path without dot segments`, false},
		{"hash", pack(t, "trust ../../x /x.crt\n"), `instructions: hash "../../x": want 8 digits from 0-9a-f`, false},
		{"missing entry", pack(t, one), "files: the archive is cut off: unexpected EOF", true},
		{"cut in an entry", pack(t, one, file)[:1024+512], "files: the archive is cut off: unexpected EOF", true},
		{"one entry too many", pack(t, one, file, file), "files: there are more than 1 entries", true},
		{"outside", pack(t, one, entry{name: "../a"}), `files: "../a" is no path below the root`, true},
		{"absolute", pack(t, one, entry{name: "/a"}), `files: "/a" is no path below the root`, true},
		{"link", pack(t, one, entry{name: "home/a", kind: tar.TypeSymlink, data: "/etc"}), "files: home/a is neither a file nor a directory", true},
		{"device", pack(t, one, entry{name: "home/a", kind: tar.TypeChar}), "files: home/a is neither a file nor a directory", true},
		{
			"a certificate that is not there", pack(t, "trust 01234567 /x.crt\n"),
			"ca: open ROOT/x.crt: no such file or directory", true,
		},
		{
			"a certificate that is none", pack(t, "entries 1\ntrust 01234567 /home/a\n", file),
			"ca: /home/a is no certificate", true,
		},
		{
			"a file where the workdir should be", pack(t, "entries 1\nworkdir /home/a\n", file),
			"workdir: mkdir ROOT/home/a: not a directory", true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			err := p.Receive(bytes.NewReader(test.archive))
			if got := strings.ReplaceAll(fmt.Sprint(err), p.Root, "ROOT"); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
			if ready(p) == test.touched {
				t.Errorf("ready is %v", ready(p))
			}
		})
	}
}

// However early the archive ends: the machine does not look ready.
func TestCutArchiveIsNeverReady(t *testing.T) {
	t.Parallel()
	whole := pack(t, "entries 2\n", entry{name: "home/a", data: "x", mode: 0o600}, entry{name: "home/b", data: "y", mode: 0o600})
	end := len(whole) - 1024 // of what counts: two empty blocks close a tar
	for size := 0; size <= len(whole); size += 256 {
		p := newPlace(t)
		err := p.Receive(bytes.NewReader(whole[:size]))
		complete := size >= end
		if size > 512 && ready(p) != (err == nil) || (err == nil) != complete && size%512 == 0 {
			t.Errorf("%d of %d bytes: %v, ready %v", size, len(whole), err, ready(p))
		}
	}
}

// What the agent left in its home before a resume is never followed.
func TestLinksAreReplaced(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	write(t, p, "etc/shadow", "root's")
	write(t, p, "etc/dir/kept", "root's")
	for link, target := range map[string]string{"home/agent/dir": "etc/dir", "home/agent/file": "etc/shadow", "home/agent/tree": "etc/dir"} {
		write(t, p, filepath.Dir(link)+"/.keep", "")
		if err := os.Symlink(filepath.Join(p.Root, target), filepath.Join(p.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
	archive := pack(t, "entries 3\nremove /home/agent/tree\n",
		entry{name: "home/agent/dir/", kind: tar.TypeDir, mode: 0o700},
		entry{name: "home/agent/dir/kept", data: "the agent's", mode: 0o640},
		entry{name: "home/agent/file", data: "the agent's", mode: 0o600})
	if err := p.Receive(bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/shadow": "root's", "etc/dir/kept": "root's", "home/agent/file": "the agent's", "home/agent/dir/kept": "the agent's",
	} {
		if got := read(t, p, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	info, err := os.Lstat(filepath.Join(p.Root, "home/agent/dir"))
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the directory is %v, %v", info, err)
	}
}

// A secret has no moment in which others could read it.
func TestFilesAreRootsUntilTheyHaveTheirOwner(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Chown = func(name string, _, _ int) error {
		info, err := os.Lstat(name)
		if err != nil || info.Mode().Perm()&0o077 != 0 && path.Base(name) != "public" {
			t.Errorf("before it has its owner: %v, %v", info.Mode(), err)
		}
		return nil
	}
	archive := pack(t, "entries 3\n", entry{name: "d/", kind: tar.TypeDir, mode: 0o755},
		entry{name: "d/public", data: "x", mode: 0o644}, entry{name: "d/secret", data: "x", mode: 0o600})
	if err := p.Receive(bytes.NewReader(archive)); err != nil {
		t.Error(err)
	}
}

const (
	world = "-----BEGIN CERTIFICATE-----\nworld\n-----END CERTIFICATE-----\n"
	first = "-----BEGIN CERTIFICATE-----\nfirst\n-----END CERTIFICATE-----\n"
	other = "-----BEGIN CERTIFICATE-----\nother\n-----END CERTIFICATE-----\n"
)

// trusting makes an archive with certificates, all of one subject.
func trusting(t *testing.T, texts ...string) []byte {
	t.Helper()
	var entries []entry
	first := fmt.Sprintf("entries %d\n", len(texts))
	for _, text := range texts {
		name := "usr/local/share/ca-certificates/bottle-" + strings.Split(text, "\n")[1] + ".crt"
		entries = append(entries, entry{name: name, data: text, mode: 0o644})
		first += "trust 0e89e91a /" + name + "\n"
	}
	return pack(t, first, entries...)
}

func links(t *testing.T, p receive.Place) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.Root, "etc/ssl/certs"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(p.Root, "etc/ssl/certs", e.Name())); err == nil {
			all = append(all, e.Name()+">"+filepath.Base(target))
		}
	}
	return strings.Join(all, " ")
}

func TestTrust(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	write(t, p, guestapi.CABundle, strings.TrimSuffix(world, "\n")) // a line end that is missing must not join two
	for _, step := range []struct {
		name    string
		archive []byte
		bundle  string
		links   string
	}{
		{"one", trusting(t, first), world + first, "0e89e91a.0>bottle-first.pem bottle-first.pem>bottle-first.crt"},
		{"again", trusting(t, first), world + first, "0e89e91a.0>bottle-first.pem bottle-first.pem>bottle-first.crt"},
		{
			"two of one subject", trusting(t, first, other), world + first + other,
			"0e89e91a.0>bottle-first.pem 0e89e91a.1>bottle-other.pem bottle-first.pem>bottle-first.crt bottle-other.pem>bottle-other.crt",
		},
		{"the second alone", trusting(t, other), world + other, "0e89e91a.0>bottle-other.pem 0e89e91a.1>bottle-other.pem bottle-other.pem>bottle-other.crt"},
		{"none", trusting(t), world, ""},
	} {
		if err := p.Receive(bytes.NewReader(step.archive)); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := read(t, p, guestapi.CABundle); got != step.bundle {
			t.Errorf("%s: the bundle is\n%s", step.name, got)
		}
		if got := links(t, p); got != step.links {
			t.Errorf("%s: links %s", step.name, got)
		}
	}
}

func TestLinksOfTheImageAreKept(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	write(t, p, guestapi.CABundle, world)
	write(t, p, "usr/share/ca/world.crt", world)
	for link, target := range map[string]string{
		"0e89e91a.0": "world.pem", "world.pem": "/usr/share/ca/world.crt", // the image's own, of the same subject
		"0e89e91a.1": "gone.pem", // leads nowhere: OpenSSL would stop here
	} {
		if err := os.Symlink(target, filepath.Join(p.Root, "etc/ssl/certs", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Receive(bytes.NewReader(trusting(t, first))); err != nil {
		t.Fatal(err)
	}
	want := "0e89e91a.0>world.pem 0e89e91a.1>bottle-first.pem bottle-first.pem>bottle-first.crt world.pem>world.crt"
	if got := links(t, p); got != want {
		t.Errorf("links %s", got)
	}
}

// Any bytes: no panic, nothing outside of the root, and ready only without an error.
func FuzzReceive(f *testing.F) {
	f.Add(pack(f, "entries 1\nremove /home/a\nworkdir /srv\n", entry{name: "home/a", data: "x", mode: 0o600}))
	f.Add(pack(f, "trust 01234567 /x.crt\n"))
	f.Add(pack(f, "entries 1\n", entry{name: "../a"}))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		outside := t.TempDir()
		p := receive.Place{Root: filepath.Join(outside, "root"), Chown: func(string, int, int) error { return nil }}
		write(t, p, "run/bottle/.keep", "")
		err := p.Receive(bytes.NewReader(archive))
		if ready(p) != (err == nil) {
			t.Errorf("ready %v after %v", ready(p), err)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
			t.Errorf("outside of the root: %v, %v", entries, err)
		}
	})
}
