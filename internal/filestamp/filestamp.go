// Package filestamp tells whether a file is still the one that was read before, without
// reading it again.
//
// Invariants: equal stamps mean equal bytes, as long as the file had settled when it was
// read; what changes while it is read has no sum.
package filestamp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Step is more than one step of the clock that files are stamped with: two changes within
// a step get the same ctime.
const Step = 100 * time.Millisecond

// Stamp tells a file from another one, and from itself before a change. The inode tells a
// replaced file, and the ctime a changed one: unlike the mtime, no program can set it back.
type Stamp struct {
	Size  int64  `json:"size"`
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Mtime int64  `json:"mtime_ns"`
	Ctime int64  `json:"ctime_ns"`
}

// Of is the stamp of what a system call said.
func Of(stat *unix.Stat_t) Stamp {
	return Stamp{
		Size:  stat.Size,
		Dev:   uint64(stat.Dev), //nolint:unconvert // int32 on macOS; only compared
		Inode: stat.Ino, Mtime: stat.Mtim.Nano(), Ctime: stat.Ctim.Nano(),
	}
}

// OfFile is the stamp of an open regular file.
func OfFile(file *os.File) (Stamp, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return Stamp{}, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return Stamp{}, fmt.Errorf("%s is not a regular file", file.Name())
	}
	return Of(&stat), nil
}

// Settled is false for a file that could change once more after a moment without a new stamp.
func (s Stamp) Settled(at time.Time) bool { return time.Unix(0, s.Ctime).Before(at.Add(-Step)) }

// Settle waits until a further change would move the file's stamp, and returns the stamp.
func Settle(ctx context.Context, file *os.File) (Stamp, error) {
	now, err := OfFile(file)
	if err != nil {
		return Stamp{}, err
	}
	if wait := Step - time.Since(time.Unix(0, now.Ctime)); wait > 0 {
		timer := time.NewTimer(min(wait, Step)) // a ctime of the future is a clock that was set back
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return Stamp{}, context.Cause(ctx)
		case <-timer.C:
		}
	}
	return OfFile(file)
}

// Sum reads a whole file. The stamp vouches for the sha256, in hex, from then on. Progress,
// if any, is told how many bytes were read.
func Sum(ctx context.Context, file *os.File, progress func(int)) (Stamp, string, error) {
	before, err := Settle(ctx, file)
	if err != nil {
		return Stamp{}, "", err
	}
	hash := sha256.New()
	if err := read(ctx, hash, io.NewSectionReader(file, 0, before.Size), progress); err != nil {
		return Stamp{}, "", fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	after, err := OfFile(file)
	if err != nil {
		return Stamp{}, "", err
	}
	if before != after {
		return Stamp{}, "", fmt.Errorf("%s changed while it was read", file.Name())
	}
	return after, hex.EncodeToString(hash.Sum(nil)), nil
}

func read(ctx context.Context, to io.Writer, from io.Reader, progress func(int)) error {
	buffer := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := from.Read(buffer)
		_, _ = to.Write(buffer[:n]) // a hash does not fail
		if progress != nil {
			progress(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return context.Cause(ctx)
}
