package imagebuild

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/filestamp"
	"bottle.internal/internal/imagebuild/layer"
)

// fileEntries lists a directory of the recipe; the files are read when the layer is made. Modes come from the recipe alone:
// neither a checkout's umask nor a file system without modes is seen in the image.
func (r *Recipe) fileEntries(files Files) ([]layer.Entry, error) {
	root := path.Join(r.dir, files.From)
	owner, _ := r.owner(files.Owner)
	var entries []layer.Entry
	err := fs.WalkDir(r.fsys, root, func(name string, found fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		below := strings.TrimPrefix(name, root+"/")
		if first, _, _ := strings.Cut(path.Join(files.To, below)[1:], "/"); isLinked(first) {
			return fmt.Errorf("%s: /%s is a link to /usr/%s in the base", name, first, first)
		}
		var entry layer.Entry
		switch {
		case found.IsDir():
			entry = layer.Dir(path.Join(files.To, below)[1:], 0o755)
		case found.Type().IsRegular():
			info, err := found.Info()
			if err != nil {
				return err
			}
			entry = layer.File(path.Join(files.To, below)[1:], 0o644, nil)
			if slices.Contains(files.Executable, below) {
				entry.Mode = 0o755
			}
			entry.Size = info.Size()
			entry.Open = func() (io.ReadCloser, error) { return r.fsys.Open(name) }
		default:
			return fmt.Errorf("%s is neither a file nor a directory", name)
		}
		entry.UID, entry.GID = owner.UID, owner.GID
		entries = append(entries, entry)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the recipe: %w", err)
	}
	return entries, nil
}

// readAlways is a size below which reading files costs less than remembering them.
const readAlways = 8 << 20

// filesKey is the hash of the tar of files, which says everything about them. That of large
// ones is remembered by their stamps, so that a warm start does not grow with the image.
func (j *Job) filesKey(entries []layer.Entry) (string, error) {
	size := int64(0)
	for _, entry := range entries {
		size += entry.Size
	}
	if size < readAlways {
		return contentKey(entries)
	}
	before, newest, ok := stamps(entries)
	if !ok {
		return contentKey(entries)
	}
	known := filepath.Join(j.builder.config.CacheDir, "files", before)
	if text, err := os.ReadFile(known); err == nil && len(text) == sha256.Size*2 {
		return string(text), nil
	}
	began := time.Now()
	key, err := contentKey(entries)
	if after, _, ok := stamps(entries); err == nil && ok && after == before && newest.Settled(began) {
		_ = diskcache.WriteFile(known, func(w io.Writer) error { // a failure only costs time later
			_, err := io.WriteString(w, key)
			return err
		})
	}
	return key, err
}

// stamps hashes what tells a changed file without reading it, and finds the newest of them.
// It is false for files that are not on a disk.
func stamps(entries []layer.Entry) (sum string, newest filestamp.Stamp, ok bool) {
	hash := newContentHash()
	for _, entry := range entries {
		fmt.Fprintf(hash, "%q %d %o %d %d\n", entry.Path, entry.Type, entry.Mode, entry.UID, entry.GID)
		if entry.Type != tar.TypeReg {
			continue
		}
		content, err := entry.Open()
		if err != nil {
			return "", newest, false
		}
		var stamp filestamp.Stamp
		file, onDisk := content.(*os.File)
		if onDisk {
			stamp, err = filestamp.OfFile(file)
		}
		if closeErr := content.Close(); !onDisk || err != nil || closeErr != nil {
			return "", newest, false
		}
		if stamp.Ctime > newest.Ctime {
			newest = stamp
		}
		fmt.Fprintf(hash, "%+v\n", stamp)
	}
	return hex.EncodeToString(hash.Sum(nil)), newest, true
}
