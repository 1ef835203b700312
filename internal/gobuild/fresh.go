package gobuild

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/filestamp"
)

// Asking go for the build ids takes a fifth of a second of a whole core. So what it was
// asked about is remembered by the stamps of every file that could change the answer:
// the directories of our packages, go.mod, go.sum, and the go tool. Packages of other
// modules and of the standard library follow from those.

// remembered is an answer and what it depended on.
type remembered struct {
	Key  string   `json:"key"`
	Dirs []string `json:"dirs"` // of our packages, relative to Root
	Sum  string   `json:"sum"`  // of all stamps
}

func (b *Builder) rememberedPath(target Target) string {
	hash := sha256.New()
	fmt.Fprintln(hash, b.Root, target.Package, target.OS, target.Arch, runtime.Version())
	for _, line := range b.Env {
		if name, _, _ := strings.Cut(line, "="); slices.Contains([]string{"GOROOT", "GOTOOLCHAIN", "GOPATH", "GOMODCACHE"}, name) {
			fmt.Fprintln(hash, line)
		}
	}
	return filepath.Join(b.CacheDir, "programs", "known-"+hex.EncodeToString(hash.Sum(nil))[:32]+".json")
}

// knownKey is the key of a target if nothing changed since it was remembered.
func (b *Builder) knownKey(tool string, target Target) (string, bool) {
	text, err := os.ReadFile(b.rememberedPath(target))
	if err != nil {
		return "", false
	}
	var known remembered
	if json.Unmarshal(text, &known) != nil || known.Key == "" {
		return "", false
	}
	sum, _, err := b.stamps(tool, known.Dirs)
	return known.Key, err == nil && sum == known.Sum
}

// remember keeps a key that go told for the next time, unless something changed since
// shortly before go was asked: then nobody knows which content go saw. A failure only
// costs time later.
func (b *Builder) remember(tool string, target Target, known remembered, asked time.Time) {
	sum, newest, err := b.stamps(tool, known.Dirs)
	if err != nil || !newest.Settled(asked) {
		return
	}
	known.Sum = sum
	path := b.rememberedPath(target)
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	_ = diskcache.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(known) })
}

// stamps hashes the stamps of all that an answer depends on.
func (b *Builder) stamps(tool string, dirs []string) (sum string, newest filestamp.Stamp, err error) {
	hash := sha256.New()
	stamp := func(path string) error {
		var stat unix.Stat_t
		switch err := unix.Stat(path, &stat); {
		case errors.Is(err, fs.ErrNotExist): // a module without dependencies has no go.sum
			fmt.Fprintln(hash, path, "absent")
			return nil
		case err != nil:
			return &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		now := filestamp.Of(&stat)
		if now.Ctime > newest.Ctime {
			newest = now
		}
		fmt.Fprintf(hash, "%s %+v\n", path, now)
		return nil
	}
	paths := []string{tool, filepath.Join(b.Root, "go.mod"), filepath.Join(b.Root, "go.sum")}
	for _, dir := range dirs {
		// A file that is added or removed changes the listing; one that is edited, its stamp.
		entries, err := os.ReadDir(filepath.Join(b.Root, dir))
		if err != nil {
			return "", newest, err
		}
		for _, entry := range entries {
			if name := entry.Name(); !entry.IsDir() && !strings.HasSuffix(name, "_test.go") {
				paths = append(paths, filepath.Join(b.Root, dir, name))
			}
		}
	}
	for _, path := range paths {
		if err := stamp(path); err != nil {
			return "", newest, err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), newest, nil
}
