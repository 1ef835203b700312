package imagepack

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/filestamp"
)

// stampOf looks at a path without opening it.
func stampOf(path string) (filestamp.Stamp, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return filestamp.Stamp{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return checkStat(path, &stat)
}

func stampFile(file *os.File) (filestamp.Stamp, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return filestamp.Stamp{}, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	return checkStat(file.Name(), &stat)
}

func checkStat(path string, stat *unix.Stat_t) (filestamp.Stamp, error) {
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return filestamp.Stamp{}, fmt.Errorf("%s is not a regular file: %w", path, errForeign)
	case int(stat.Uid) != os.Geteuid():
		return filestamp.Stamp{}, fmt.Errorf("%s belongs to uid %d: %w", path, stat.Uid, errForeign)
	case stat.Mode&0o022 != 0:
		return filestamp.Stamp{}, fmt.Errorf("%s is writable by others: %w", path, errForeign)
	}
	return filestamp.Of(stat), nil
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
