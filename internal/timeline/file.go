package timeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// chunk is how much is read at once; a line that is longer is passed on in pieces.
const chunk = 128 << 10

// errStopped ends a stream whose reader wants no more.
var errStopped = errors.New("nobody reads on")

// file reads whole lines of a file that may grow, and that may not be there yet. Half a
// line is read again until it is whole: the writer that continues after a crash cuts it off.
type file struct {
	path string
	// ended reports that nobody will write any more. It is asked before a look at the file,
	// so that what was written last is seen.
	ended func() bool
	// idle says that there is nothing right now; false: nobody reads on.
	idle func() bool

	open   *os.File
	offset int64  // of what was not taken from the file yet
	ready  []byte // whole lines that were taken
	buffer []byte
}

// Read implements [io.Reader]. It ends when the file does and nobody will write any more.
func (f *file) Read(p []byte) (int, error) {
	for len(f.ready) == 0 {
		last := f.ended()
		n, err := f.look()
		if err != nil {
			return 0, err
		}
		whole := bytes.LastIndexByte(f.buffer[:n], '\n') + 1
		if whole == 0 && (last || n == len(f.buffer)) {
			whole = n
		}
		f.ready, f.offset = f.buffer[:whole], f.offset+int64(whole)
		switch {
		case whole > 0:
		case last:
			return 0, io.EOF
		case !f.idle():
			return 0, errStopped
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

// look reads on from the offset without taking anything.
func (f *file) look() (int, error) {
	if f.open == nil {
		opened, err := openRegular(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		f.open, f.buffer = opened, make([]byte, chunk)
	}
	n, err := f.open.ReadAt(f.buffer, f.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading a log: %w", err)
	}
	if n > 0 {
		return n, nil
	}
	info, err := f.open.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading a log: %w", err)
	}
	if info.Size() < f.offset {
		return 0, fmt.Errorf("reading a log: %s became shorter", f.path)
	}
	return 0, nil
}

func (f *file) close() {
	if f.open != nil {
		_ = f.open.Close()
	}
}

// openRegular opens a file that cannot lead elsewhere and cannot block.
func openRegular(path string) (*os.File, error) {
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("opening a log: %s is no regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// Tail returns at most limit bytes from the end of a file.
func Tail(path string, limit int64) ([]byte, error) {
	opened, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a log: %w", err)
	}
	tail, err := io.ReadAll(io.NewSectionReader(opened, max(0, info.Size()-limit), limit))
	if err != nil {
		return nil, fmt.Errorf("reading a log: %w", err)
	}
	return tail, nil
}
