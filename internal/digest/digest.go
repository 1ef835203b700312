// Package digest names programs by what is in them: the VM tool and what it boots.
//
// Invariants: a sum is of bytes that were read, now or by an earlier call, from a file that
// has not changed since: same device, inode, size, mtime and ctime, which no program sets
// back. A change that is too young to be told from the next one is not remembered. A memory
// that is lost or damaged costs a read and nothing else; a file that cannot be read is
// named, with the reason, and never left out.
package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
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

// youth is far more than a step of any clock that stamps files.
const youth = 2 * time.Second

// maxMemory bounds the file that sums are remembered in.
const maxMemory = 1 << 20

// known is what is remembered under a name.
type known struct {
	Path   string `json:"path"`
	Stamp  stamp  `json:"stamp"`
	SHA256 string `json:"sha256"`
}

// stamp tells a file from another one, and from itself before a change.
type stamp struct {
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime_ns"`
	Ctime int64  `json:"ctime_ns"`
}

// Of names files by their sums. Memory is a file that belongs to us; its directory is made.
func Of(ctx context.Context, files []File, memory string) []Sum {
	return of(ctx, files, memory, time.Now)
}

func of(ctx context.Context, files []File, memory string, clock func() time.Time) []Sum {
	remembered := recall(memory)
	sums := make([]Sum, 0, len(files))
	changed := false
	for _, file := range files {
		last, seen := remembered[file.Name]
		now, err := look(ctx, file.Path, last, clock)
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
func look(ctx context.Context, path string, last known, clock func() time.Time) (known, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not hang on a pipe
	if err != nil {
		return known{}, err
	}
	defer file.Close()
	before, err := stampOf(file)
	if err != nil {
		return known{}, err
	}
	if before == last.Stamp && path == last.Path && len(last.SHA256) == 2*sha256.Size {
		return last, nil
	}
	hash := sha256.New()
	if err := copyUntilDone(ctx, hash, file); err != nil {
		return known{}, err
	}
	after, err := stampOf(file)
	if err == nil && before != after {
		err = errors.New(path + " changed while it was read")
	}
	if err != nil {
		return known{}, err
	}
	if clock().Sub(time.Unix(0, after.Ctime)) < youth {
		after = stamp{}
	}
	return known{Path: path, Stamp: after, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

func copyUntilDone(ctx context.Context, to io.Writer, from io.Reader) error {
	buffer := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := from.Read(buffer)
		_, _ = to.Write(buffer[:n]) // a hash does not fail
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return context.Cause(ctx)
}

func stampOf(file *os.File) (stamp, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return stamp{}, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return stamp{}, fmt.Errorf("%s is not a regular file", file.Name())
	}
	return stamp{
		Dev:   uint64(stat.Dev), //nolint:unconvert // int32 on macOS; only compared
		Inode: stat.Ino, Size: stat.Size, Mtime: stat.Mtim.Nano(), Ctime: stat.Ctim.Nano(),
	}, nil
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
