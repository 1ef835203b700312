package npm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/tests/fakeimage"
)

func tarball(t *testing.T, headers ...tar.Header) string {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	for _, header := range headers {
		content := "content of " + header.Name
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(content))
		} else {
			content = ""
		}
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.tgz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func listing(t *testing.T, archive io.Reader) string {
	t.Helper()
	var lines []string
	for _, f := range fakeimage.Read(t, archive) {
		line := fmt.Sprintf("%c %o %d:%d %d /%s %s %s", f.Typeflag, f.Mode, f.Uid, f.Gid, f.ModTime.Unix(), f.Name, f.Linkname, f.Content)
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

func TestWriteLayerTakesOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	path := tarball(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "package/vendor/z/tool", Mode: 0o4777, Uid: 7},
		tar.Header{Typeflag: tar.TypeReg, Name: "package/postinstall.js", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "package/bin", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeReg, Name: "package/../../etc/passwd", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeReg, Name: "package/data", Mode: 0o666},
	)
	var out bytes.Buffer
	err := npm.WriteLayer(&out, path, npm.Unpack{
		Dir: "opt/tool", Files: []string{"bin", "data", "vendor/z/tool"}, Links: map[string]string{"tool": "bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `5 755 0:0 0 /opt/
5 755 0:0 0 /opt/tool/
5 755 0:0 0 /opt/tool/vendor/
5 755 0:0 0 /opt/tool/vendor/z/
5 755 0:0 0 /usr/
5 755 0:0 0 /usr/local/
5 755 0:0 0 /usr/local/bin/
0 755 0:0 0 /opt/tool/vendor/z/tool  content of package/vendor/z/tool
0 755 0:0 0 /opt/tool/bin  content of package/bin
0 644 0:0 0 /opt/tool/data  content of package/data
2 777 0:0 0 /usr/local/bin/tool /opt/tool/bin`
	if got := listing(t, &out); got != want {
		t.Errorf("layer:\n%s\nwant:\n%s", got, want)
	}
}

func TestWriteLayerErrors(t *testing.T) {
	t.Parallel()
	path := tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "package/tool", Linkname: "/etc/shadow"})
	err := npm.WriteLayer(io.Discard, path, npm.Unpack{Dir: "opt/tool", Files: []string{"tool", "more"}})
	if want := "the tarball has no file more, tool"; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	if err := os.Truncate(path, 40); err != nil {
		t.Fatal(err)
	}
	err = npm.WriteLayer(io.Discard, path, npm.Unpack{Dir: "opt/tool", Files: []string{"tool"}})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("err = %v", err)
	}
}
