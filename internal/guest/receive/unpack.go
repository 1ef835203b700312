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

// unpacker writes the archive's entries. Every call of the kernel costs in an emulated
// machine, which shows with a hundred files: so it speaks to the kernel itself.
type unpacker struct {
	place  Place
	buffer []byte
	exists map[string]bool // directories above entries
}

// unpack writes so many entries. Directories above them that are missing become root's.
// Times are the guest's own: its clock may be behind the host's.
func (p Place) unpack(entries *tar.Reader, count int) error {
	u := unpacker{place: p, buffer: make([]byte, chunk), exists: map[string]bool{}}
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

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	name := u.place.path(header.Name)
	if dir := path.Dir(name); !u.exists[dir] {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		u.exists[dir] = true
	}
	var fd int
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		fd, err = openDir(name)
		u.exists[name] = err == nil
	case tar.TypeReg:
		fd, err = createFile(name)
	default:
		return fmt.Errorf("%s is neither a file nor a directory", header.Name)
	}
	if err != nil {
		return err
	}
	if header.Typeflag == tar.TypeReg {
		err = u.fill(fd, content, header.Size)
	}
	if err == nil {
		err = u.place.chown(fd, name, header.Uid, header.Gid)
	}
	if err == nil {
		err = unix.Fchmod(fd, uint32(fs.FileMode(header.Mode).Perm()))
	}
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if errno := unix.Errno(0); errors.As(err, &errno) {
		err = &fs.PathError{Op: "write", Path: name, Err: errno}
	}
	return err
}

// fill writes size bytes.
func (u *unpacker) fill(fd int, content io.Reader, size int64) error {
	for size > 0 {
		data := u.buffer[:min(size, chunk)]
		if _, err := io.ReadFull(content, data); err != nil {
			return err
		}
		size -= int64(len(data))
		for len(data) > 0 {
			wrote, err := unix.Write(fd, data)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			data = data[max(wrote, 0):]
		}
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
	return open(name, flags)
}

// createFile makes a new file, which nobody but root can read until it has its owner.
func createFile(name string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open(name, flags, 0o600)
	if !errors.Is(err, unix.EEXIST) {
		return fd, pathError(name, err)
	}
	if err := os.Remove(name); err != nil {
		return -1, err
	}
	return open(name, flags)
}

// chown gives away what fd leads to.
func (p Place) chown(fd int, name string, uid, gid int) error {
	if p.Chown != nil {
		return p.Chown(name, uid, gid)
	}
	return unix.Fchown(fd, uid, gid)
}

func open(name string, flags int) (int, error) {
	fd, err := unix.Open(name, flags, 0o600)
	return fd, pathError(name, err)
}

func pathError(name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "open", Path: name, Err: err}
}
