package receive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// chunk is read at once, so that a usual file is one write.
const chunk = 128 << 10

// queued is how many files may wait for their second half.
const queued = 16

// unpacker writes the archive's entries. Every call of the kernel costs in an emulated
// machine, which shows with a hundred files: so it speaks to the kernel itself, and the
// next file is made while the one before is filled.
type unpacker struct {
	place  Place
	exists map[string]bool // directories above entries

	second  chan half
	done    chan struct{}
	problem error // the first of the second halves; read after done
}

// half is a file or directory that is there, and is still to get its content and owner.
type half struct {
	fd      int
	name    string
	header  *tar.Header
	content []byte
}

// unpack writes so many entries. Directories above them that are missing become root's.
// Times are the guest's own: its clock may be behind the host's.
func (p Place) unpack(entries *tar.Reader, count int) error {
	u := unpacker{place: p, exists: map[string]bool{}, second: make(chan half, queued), done: make(chan struct{})}
	go u.finish()
	err := u.entries(entries, count)
	close(u.second)
	<-u.done
	if err == nil {
		err = u.problem
	}
	return err
}

func (u *unpacker) entries(entries *tar.Reader, count int) error {
	for range count {
		header, err := entries.Next()
		if err != nil {
			return whole(err)
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%.200q is no path below the root", header.Name)
		}
		if err := u.entry(header, entries); err != nil {
			return whole(err)
		}
	}
	_, err := entries.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		err = fmt.Errorf("there are more than %d entries", count)
	}
	return err
}

// finish gives every entry its content, owner and mode.
func (u *unpacker) finish() {
	defer close(u.done)
	for h := range u.second {
		if err := u.complete(h); err != nil && u.problem == nil {
			u.problem = err
		}
	}
}

func (u *unpacker) complete(h half) error {
	err := write(h.fd, h.content)
	if err == nil {
		err = u.place.chown(h.fd, h.name, h.header.Uid, h.header.Gid)
	}
	// A file has its mode from the beginning, but for the bits that umask took.
	if mode := permissions(h.header); err == nil && (h.header.Typeflag == tar.TypeDir || mode&0o022 != 0) {
		err = unix.Fchmod(h.fd, mode)
	}
	if closeErr := unix.Close(h.fd); err == nil {
		err = closeErr
	}
	if errno := unix.Errno(0); errors.As(err, &errno) {
		err = &fs.PathError{Op: "write", Path: h.name, Err: errno}
	}
	return err
}

func permissions(header *tar.Header) uint32 { return uint32(fs.FileMode(header.Mode).Perm()) }

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	name := u.place.path(header.Name)
	if dir := path.Dir(name); !u.exists[dir] {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		u.exists[dir] = true
	}
	h := half{name: name, header: header}
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		h.fd, err = openDir(name)
		u.exists[name] = err == nil
	case tar.TypeReg:
		h.fd, err = createFile(name, permissions(header))
	default:
		return fmt.Errorf("%s is neither a file nor a directory", header.Name)
	}
	if err != nil {
		return err
	}
	h.content, err = u.fill(h.fd, content, header)
	if err != nil {
		_ = unix.Close(h.fd)
		return err
	}
	u.second <- h
	return nil
}

// fill writes all of a big file but its last part, which is left for later.
func (u *unpacker) fill(fd int, content io.Reader, header *tar.Header) ([]byte, error) {
	if header.Typeflag != tar.TypeReg {
		return nil, nil
	}
	for size := header.Size; ; size -= chunk {
		data := make([]byte, min(size, chunk))
		if _, err := io.ReadFull(content, data); err != nil || size <= chunk {
			return data, err
		}
		if err := write(fd, data); err != nil {
			return nil, err
		}
	}
}

func write(fd int, data []byte) error {
	for len(data) > 0 {
		wrote, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(wrote, 0):]
	}
	return nil
}

// openDir keeps a directory with what is in it, and nothing else of that name.
func openDir(name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open(name, flags, 0)
	if err == nil {
		return fd, nil
	}
	if !errors.Is(err, unix.ENOENT) {
		if err := os.Remove(name); err != nil {
			return -1, err
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		return -1, err
	}
	return open(name, flags, 0)
}

// createFile makes a new file. One that only its owner may read is root's alone until it
// is given away.
func createFile(name string, mode uint32) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open(name, flags, mode)
	if !errors.Is(err, unix.EEXIST) {
		return fd, pathError(name, err)
	}
	if err := os.Remove(name); err != nil {
		return -1, err
	}
	return open(name, flags, mode)
}

// chown gives away what fd leads to.
func (p Place) chown(fd int, name string, uid, gid int) error {
	if p.Chown != nil {
		return p.Chown(name, uid, gid)
	}
	return unix.Fchown(fd, uid, gid)
}

func open(name string, flags int, mode uint32) (int, error) {
	fd, err := unix.Open(name, flags, mode)
	return fd, pathError(name, err)
}

func pathError(name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "open", Path: name, Err: err}
}
