package imagepack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"bottle.internal/internal/filestamp"
)

// Digests remembers the sha256 of big files by their stamps, in a file of its own. The
// record beside an artifact says what was written; this says what was read, and is kept
// where whoever can write the cache cannot write.
type Digests struct {
	Path string // of the memory; it is made when there is something to remember
}

type seenFile struct {
	Stamp  filestamp.Stamp `json:"stamp"`
	SHA256 string          `json:"sha256"`
}

// Of returns the sha256 of a file of ours. It reads the file unless it is the very one that
// was read before.
func (d Digests) Of(ctx context.Context, path string) (string, error) {
	file, now, err := openOurs(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	known := d.known()
	if seen, ok := known[path]; ok && seen.Stamp == now && hex64.MatchString(seen.SHA256) {
		return seen.SHA256, nil
	}
	read, sum, err := filestamp.Sum(ctx, file, nil)
	if err != nil {
		return "", err
	}
	known[path] = seenFile{Stamp: read, SHA256: sum}
	maps.DeleteFunc(known, func(path string, _ seenFile) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	// Two at once may forget what the other has read; then that is read again.
	return sum, d.write(known)
}

// known is empty if the memory cannot be trusted: then everything is read again.
func (d Digests) known() map[string]seenFile {
	known := map[string]seenFile{}
	if err := readJSON(d.Path, &known); err != nil || known == nil {
		return map[string]seenFile{}
	}
	return known
}

func (d Digests) write(known map[string]seenFile) error {
	raw, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(d.Path), filepath.Base(d.Path)+".") // mode 0600
	if err != nil {
		return fmt.Errorf("remembering a digest: %w", err)
	}
	_, err = file.Write(append(raw, '\n'))
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), d.Path)
	}
	if err != nil {
		return fmt.Errorf("remembering a digest: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}
