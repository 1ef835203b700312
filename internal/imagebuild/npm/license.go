package npm

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// License returns what the package.json of a tarball says of its license; empty if it
// says nothing, or nothing that is one string.
func License(tarball string) (string, error) {
	source, err := os.Open(tarball)
	if err != nil {
		return "", err
	}
	defer func() { _ = source.Close() }()
	plain, err := gzip.NewReader(source)
	if err != nil {
		return "", fmt.Errorf("reading the tarball: %w", err)
	}
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("reading the tarball: %w", err)
		}
		if header.Name != "package/package.json" {
			continue
		}
		var manifest struct {
			License any `json:"license"`
		}
		if err := json.NewDecoder(archive).Decode(&manifest); err != nil {
			return "", fmt.Errorf("reading package.json: %w", err)
		}
		license, _ := manifest.License.(string)
		return license, nil
	}
}
