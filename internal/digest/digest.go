// Package digest names programs by what is in them: the VM tool and what it boots.
//
// Invariants: a sum is of bytes that were read, now or by an earlier call, from a file that
// has not changed since: same device, inode, size, mtime and ctime, which no program sets
// back. A memory
// that is lost or damaged costs a read and nothing else; a file that cannot be read is
// named, with the reason, and never left out.
package digest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/filestamp"
)

// File is something to name. Name is what it is for, such as "kernel".
type File struct{ Name, Path string }

// Sum is what became of a File.
type Sum struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256,omitempty"`  // hex
	Was     string `json:"was,omitempty"`     // the sum of what had this name the last time, if that was another
	Problem string `json:"problem,omitempty"` // why there is no sum
}

// maxMemory bounds the file that sums are remembered in.
const maxMemory = 1 << 20

// known is what is remembered under a name.
type known struct {
	Path   string          `json:"path"`
	Stamp  filestamp.Stamp `json:"stamp"`
	SHA256 string          `json:"sha256"`
}

// Of names files by their sums. Memory is a file that belongs to us; its directory is made.
func Of(ctx context.Context, files []File, memory string) []Sum {
	remembered := recall(memory)
	sums := make([]Sum, 0, len(files))
	changed := false
	for _, file := range files {
		last, seen := remembered[file.Name]
		now, err := look(ctx, file.Path, last)
		sum := Sum{Name: file.Name, SHA256: now.SHA256}
		switch {
		case err != nil:
			sum.Problem = err.Error()
		case seen && last.SHA256 != now.SHA256:
			sum.Was = last.SHA256
		}
		if err == nil && now != last {
			remembered[file.Name], changed = now, true
		}
		sums = append(sums, sum)
	}
	if changed {
		_ = remember(memory, remembered) // the next call reads again
	}
	return sums
}

// look reads a file, unless it is what it was.
func look(ctx context.Context, path string, last known) (known, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not hang on a pipe
	if err != nil {
		return known{}, err
	}
	defer file.Close()
	now, err := filestamp.OfFile(file)
	if err != nil {
		return known{}, err
	}
	if now == last.Stamp && path == last.Path && len(last.SHA256) == 2*sha256.Size {
		return last, nil
	}
	read, sum, err := filestamp.Sum(ctx, file, nil)
	return known{Path: path, Stamp: read, SHA256: sum}, err
}

func recall(memory string) map[string]known {
	remembered := map[string]known{}
	file, err := os.Open(memory)
	if err != nil {
		return remembered
	}
	defer file.Close()
	if json.NewDecoder(io.LimitReader(file, maxMemory)).Decode(&remembered) != nil || remembered == nil {
		return map[string]known{}
	}
	return remembered
}

// remember writes the whole memory: who writes last wins, and the others read again.
func remember(memory string, sums map[string]known) error {
	text, err := json.MarshalIndent(sums, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(memory), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(memory), ".digests-")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), memory)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temp.Name()))
	}
	return err
}
