package imagepack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/filestamp"
)

// maxRecord bounds the small files that are read whole.
const maxRecord = 1 << 20

// record is what is known about an artifact, in a file beside it.
type record struct {
	Format  int             `json:"format"`
	Key     string          `json:"key"`
	Inputs  []Part          `json:"inputs"` // what the key is the hash of
	Image   string          `json:"image"`
	Via     string          `json:"via"`
	Size    int64           `json:"size"`
	SHA256  string          `json:"sha256"`
	Stamp   filestamp.Stamp `json:"stamp"` // of the file when its sha256 was last seen to be right
	Name    string          `json:"name"`
	Recipe  string          `json:"recipe"`
	Parts   []Part          `json:"parts,omitempty"` // what the recipe key was made of
	Created time.Time       `json:"created"`
}

// recipe says which image a recipe key builds.
type recipe struct {
	Format int    `json:"format"`
	Recipe string `json:"recipe"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Config []byte `json:"config"` // the image's config file: its hash is the image id
}

// errForeign is wrapped by every doubt about who wrote a file.
var errForeign = errors.New("not written by bottle")

func (p paths) readRecord(key string) (record, error) {
	var rec record
	if err := readJSON(p.record(key), &rec); err != nil {
		return record{}, err
	}
	switch {
	case rec.Format != formatVersion, rec.Key != key, keyOf(rec.Inputs) != key,
		rec.Via != ViaPack && rec.Via != ViaArchive,
		rec.Size <= 0, !hex64.MatchString(rec.SHA256):
		return record{}, fmt.Errorf("record %s: %w", p.record(key), errForeign)
	}
	return rec, nil
}

func (p paths) readRecipe(key string) (recipe, error) {
	var known recipe
	if !hex64.MatchString(key) {
		return recipe{}, fmt.Errorf("recipe key %q: %w", key, errForeign)
	}
	if err := readJSON(p.recipe(key), &known); err != nil {
		return recipe{}, err
	}
	_, err := v1.NewHash(known.Digest)
	if err != nil || known.Format != formatVersion || known.Recipe != key {
		return recipe{}, fmt.Errorf("recipe %s: %w", p.recipe(key), errForeign)
	}
	return known, nil
}

// readJSON reads a small file of ours, strictly.
func readJSON(path string, into any) error {
	file, _, err := openOurs(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxRecord+1))
	if err != nil {
		return err
	}
	if err := decodeStrict(raw, into); err != nil {
		return fmt.Errorf("%s: %w: %w", path, errForeign, err)
	}
	return nil
}

func decodeStrict(raw []byte, into any) error {
	if len(raw) > maxRecord {
		return errors.New("it is too large")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the value")
	}
	return nil
}

// openOurs opens a regular file that belongs to us and that nobody else may write.
// It neither follows a symlink nor hangs on a pipe.
func openOurs(path string) (*os.File, filestamp.Stamp, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, filestamp.Stamp{}, fmt.Errorf("%s is a symlink: %w", path, errForeign)
	}
	if err != nil {
		return nil, filestamp.Stamp{}, err
	}
	now, err := stampFile(file)
	if err != nil {
		return nil, filestamp.Stamp{}, errors.Join(err, file.Close())
	}
	return file, now, nil
}

// newest finds the latest record of a recipe name.
func (p paths) newest(name string) (record, bool) {
	entries, err := os.ReadDir(p.packs)
	if err != nil {
		return record{}, false
	}
	var newest record
	for _, entry := range entries {
		key, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || !hex64.MatchString(key) {
			continue
		}
		rec, err := p.readRecord(key)
		if err == nil && rec.Name == name && rec.Created.After(newest.Created) {
			newest = rec
		}
	}
	return newest, newest.Key != ""
}

// leftovers lists the files of a key that are there, whoever wrote them.
func (p paths) leftovers(key string) []string {
	var found []string
	for _, name := range []string{key + extension(ViaPack), key + extension(ViaArchive)} {
		if _, err := os.Lstat(filepath.Join(p.packs, name)); !errors.Is(err, fs.ErrNotExist) {
			found = append(found, name)
		}
	}
	return found
}
