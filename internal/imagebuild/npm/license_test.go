package npm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/imagebuild/npm"
)

func TestLicense(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, content, want, fails string }{
		{"said", "package/package.json", `{"name": "x", "license": "Apache-2.0"}`, "Apache-2.0", ""},
		{"not said", "package/package.json", `{"name": "x"}`, "", ""},
		{"of the old form", "package/package.json", `{"license": {"type": "MIT"}}`, "", ""},
		{"of something inside", "package/node_modules/y/package.json", `{"license": "MIT"}`, "", ""},
		{"damaged", "package/package.json", `{"license"`, "", "reading package.json: unexpected EOF"},
	} {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		archive := tar.NewWriter(zip)
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: test.file, Mode: 0o644, Size: int64(len(test.content))})
		if err == nil {
			_, err = io.WriteString(archive, test.content)
		}
		path := filepath.Join(t.TempDir(), "x.tgz")
		if err := errors.Join(err, archive.Close(), zip.Close(), os.WriteFile(path, packed.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		got, err := npm.License(path)
		if got != test.want || (err != nil) != (test.fails != "") || err != nil && err.Error() != test.fails {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}
