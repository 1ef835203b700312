package gobuild_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"testing/fstest"

	"bottle.internal/internal/gobuild"
)

func packed(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: out.Bytes()}
}

// A release has its programs with it: no checkout and no Go are asked for.
func TestPrebuilt(t *testing.T) {
	t.Parallel()
	carried := fstest.MapFS{"guest.gz": packed(t, "one")}
	builder := &gobuild.Builder{CacheDir: t.TempDir(), Env: []string{"PATH=/nonexistent"}, Prebuilt: carried}
	target := gobuild.Target{Package: "./images/agent/guest", Name: "bottle-guest", OS: "linux", Arch: "amd64"}
	program, err := builder.Build(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("one"))
	text, err := os.ReadFile(program.Path)
	if err != nil || string(text) != "one" || program.SHA256 != hex.EncodeToString(sum[:]) || program.Size != 3 {
		t.Errorf("%q, %v, %+v", text, err, program)
	}
	if info, err := os.Stat(program.Path); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("it cannot be run: %v, %v", info.Mode(), err)
	}
	if again, err := builder.Build(t.Context(), target); err != nil || again != program {
		t.Errorf("again: %+v, %v", again, err)
	}
	// The next release carries another program of the same name.
	builder.Prebuilt = fstest.MapFS{"guest.gz": packed(t, "two")}
	newer, err := builder.Build(t.Context(), target)
	if err != nil || newer.Path == program.Path || newer.SHA256 == program.SHA256 {
		t.Errorf("another release: %+v, %v", newer, err)
	}
}

func TestPrebuiltProblems(t *testing.T) {
	t.Parallel()
	cut := packed(t, "a program that is longer than the cut")
	cut.Data = cut.Data[:len(cut.Data)-12]
	for _, test := range []struct {
		name    string
		builder gobuild.Builder
		want    string
	}{
		{"nothing at all", gobuild.Builder{}, "building ./a/b for linux/amd64: the source of bottle was not found"},
		{"not carried", gobuild.Builder{Prebuilt: fstest.MapFS{}}, "building ./a/b for linux/amd64: this release does not carry it"},
		{"damaged", gobuild.Builder{Prebuilt: fstest.MapFS{"b.gz": cut}}, "building ./a/b for linux/amd64: unpacking it: unexpected EOF"},
		{"no gzip", gobuild.Builder{Prebuilt: fstest.MapFS{"b.gz": {Data: []byte("plain text, no gzip")}}}, "building ./a/b for linux/amd64: unpacking it: gzip: invalid header"},
	} {
		test.builder.CacheDir = t.TempDir()
		_, err := test.builder.Build(t.Context(), gobuild.Target{Package: "./a/b", Name: "b", OS: "linux", Arch: "amd64"})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if got := test.builder.CanBuild(); got != (test.builder.Prebuilt != nil) {
			t.Errorf("%s: CanBuild is %v", test.name, got)
		}
	}
}
