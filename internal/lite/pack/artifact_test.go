package pack

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory is a file of fixed size.
type memory []byte

func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

func sample(t testing.TB) []byte {
	t.Helper()
	file := make(memory, 3*blockSize)
	m := Manifest{Image: "r.test/x", Cmd: []string{"sh"}, CPUs: 2, Assets: Assets{Format: format}}
	if err := appendTrailer(file, 2*blockSize, m); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTrailer(t *testing.T) {
	t.Parallel()
	file := sample(t)
	m, err := readManifest(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := Manifest{Image: "r.test/x", Cmd: []string{"sh"}, CPUs: 2, Assets: Assets{Format: format}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	end := file[len(file)-footerSize:]
	if string(end[:8]) != "SMOLPACK" || binary.LittleEndian.Uint32(end[8:]) != 1 || binary.Size(footer{}) != footerSize {
		t.Errorf("the footer is %q", end)
	}
}

func TestDamagedArtifacts(t *testing.T) {
	t.Parallel()
	footerAt := 3*blockSize - footerSize
	for name, test := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"empty":    {func([]byte) []byte { return nil }, "not a .smolmachine: it is too short"},
		"cut":      {func(b []byte) []byte { return b[:2*blockSize] }, "not a .smolmachine: the footer is missing"},
		"version":  {func(b []byte) []byte { b[footerAt+8] = 3; return b }, ".smolmachine version 3 is not supported"},
		"offset":   {func(b []byte) []byte { b[footerAt+43] = 0x80; return b }, "damaged .smolmachine: the manifest lies outside of the file"},
		"size":     {func(b []byte) []byte { b[footerAt+44] = 0xff; b[footerAt+46] = 1; return b }, "damaged .smolmachine: the manifest lies outside of the file"},
		"manifest": {func(b []byte) []byte { b[2*blockSize+3] ^= 1; return b }, "damaged .smolmachine: the manifest has another checksum"},
		"not ours": {func(b []byte) []byte { return foreign(t) }, "the .smolmachine was not made by smolvm-lite: pack the image again"},
	} {
		data := test.change(sample(t))
		if _, err := readManifest(bytes.NewReader(data), int64(len(data))); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadManifest(path); err == nil || !strings.HasPrefix(err.Error(), "reading "+path+": not a") {
		t.Errorf("%v", err)
	}
}

// foreign is what smolvm itself writes: no format in the assets.
func foreign(t *testing.T) []byte {
	t.Helper()
	file := make(memory, 2*blockSize)
	if err := appendTrailer(file, blockSize, Manifest{}); err != nil {
		t.Fatal(err)
	}
	return file
}

func FuzzReadManifest(f *testing.F) {
	f.Add(sample(f)[2*blockSize:])
	f.Add([]byte("SMOLPACK"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = readManifest(bytes.NewReader(data), int64(len(data))) })
}
