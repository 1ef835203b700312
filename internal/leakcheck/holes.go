package leakcheck

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData finds the next part of a file that is no hole. [io.EOF] is the end.
func nextData(file *os.File, from int64) (begin, end int64, err error) {
	begin, err = file.Seek(from, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 0, 0, io.EOF
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = file.Seek(begin, unix.SEEK_HOLE)
	return begin, end, err
}
