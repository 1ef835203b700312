package imagepack

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

// clockTick is more than one step of the clock that older kernels stamp files with:
// two changes within a step get the same ctime.
const clockTick = 20 * time.Millisecond

// stamp is what lets a file be trusted unread. The inode tells a replaced file, and
// the ctime a changed one: unlike the mtime, no program can set it back.
type stamp struct {
	Size  int64  `json:"size"`
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Mtime int64  `json:"mtime_ns"`
	Ctime int64  `json:"ctime_ns"`
}

// stampOf looks at a path without opening it.
func stampOf(path string) (stamp, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return stamp{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return checkStat(path, &stat)
}

func stampFile(file *os.File) (stamp, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return stamp{}, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	return checkStat(file.Name(), &stat)
}

func checkStat(path string, stat *unix.Stat_t) (stamp, error) {
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return stamp{}, fmt.Errorf("%s is not a regular file: %w", path, errForeign)
	case int(stat.Uid) != os.Geteuid():
		return stamp{}, fmt.Errorf("%s belongs to uid %d: %w", path, stat.Uid, errForeign)
	case stat.Mode&0o022 != 0:
		return stamp{}, fmt.Errorf("%s is writable by others: %w", path, errForeign)
	}
	return stamp{
		Size:  stat.Size,
		Dev:   uint64(stat.Dev), //nolint:unconvert // int32 on macOS; only compared
		Inode: stat.Ino, Mtime: stat.Mtim.Nano(), Ctime: stat.Ctim.Nano(),
	}, nil
}

// settled waits until a further change would move the file's ctime, and stamps it.
func settled(ctx context.Context, file *os.File) (stamp, error) {
	now, err := stampFile(file)
	if err != nil {
		return stamp{}, err
	}
	if wait := clockTick - time.Since(time.Unix(0, now.Ctime)); wait > 0 {
		timer := time.NewTimer(min(wait, clockTick))
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return stamp{}, context.Cause(ctx)
		case <-timer.C:
		}
	}
	return stampFile(file)
}

// fingerprint reads a whole file. The stamp vouches for the hash from then on.
func fingerprint(ctx context.Context, file *os.File, progress func(int)) (stamp, string, error) {
	before, err := settled(ctx, file)
	if err != nil {
		return stamp{}, "", err
	}
	hash := sha256.New()
	reader := &ctxReader{ctx: ctx, r: io.NewSectionReader(file, 0, before.Size), read: progress}
	if _, err := io.CopyBuffer(struct{ io.Writer }{hash}, reader, make([]byte, 1<<20)); err != nil {
		return stamp{}, "", fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	after, err := stampFile(file)
	if err != nil {
		return stamp{}, "", err
	}
	if before != after {
		return stamp{}, "", fmt.Errorf("%s changed while it was read", file.Name())
	}
	return after, hex.EncodeToString(hash.Sum(nil)), nil
}

const (
	footerSize  = 64
	footerMagic = "SMOLPACK"
)

var errTruncated = errors.New("it does not end like a pack: truncated, or no pack at all")

// checkFooter knows a finished pack from half of one. What the numbers in the footer
// mean is the tool's own business.
func checkFooter(file *os.File, size int64) error {
	if size <= footerSize {
		return errTruncated
	}
	magic := make([]byte, len(footerMagic))
	if _, err := file.ReadAt(magic, size-footerSize); err != nil {
		return fmt.Errorf("reading the footer: %w", err)
	}
	if string(magic) != footerMagic {
		return errTruncated
	}
	return nil
}
