package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/names"
	"bottle.internal/internal/ownsock"
)

// maxSocketDir leaves room for the longest name in the path of a socket.
const maxSocketDir = ownsock.MaxPath - len("/65535.sock") - 2

// socketPrefix begins the name of a socket directory outside the instance. Its owner, its
// identity and a random end follow: a directory that nobody wrote down is still known.
const socketPrefix = "bottle-sock-"

// randomEnd is what MkdirTemp adds at most.
const randomEnd = 10

// SocketDir returns a private directory for the bottle's sockets: inside the instance
// where the path is short enough for a socket, else a fresh one under the temporary
// directory, whose path belongs into [Status].SocketDir.
func (i *Instance) SocketDir() (dir string, outside bool, err error) {
	prefix := i.root.socketPrefix() + string(i.ID) + "-"
	where, outside := placeSockets(i.dir, os.TempDir(), prefix)
	if !outside {
		return where, false, makeOurs(where)
	}
	dir, err = os.MkdirTemp(where, prefix)
	if err != nil {
		return "", false, fmt.Errorf("making a socket directory: %w", err)
	}
	if err := checkPath(dir); err != nil {
		return "", false, errors.Join(fmt.Errorf("checking the socket directory: %w", err), os.Remove(dir))
	}
	return dir, true, nil
}

// RestoreSocketDir makes a socket directory outside of the instance again, which a reboot
// may have taken: a machine looks for its sockets where they were when it was made.
func (i *Instance) RestoreSocketDir(dir string) error {
	if err := checkSocketDir(dir); err != nil {
		return err
	}
	return makeOurs(dir)
}

// makeOurs accepts a directory that is there already only if it is ours.
func makeOurs(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the socket directory: %w", err)
	}
	if err := checkPath(dir); err != nil {
		return fmt.Errorf("checking the socket directory: %w", err)
	}
	return nil
}

// socketPrefix begins the names of this root's socket directories.
func (r *Root) socketPrefix() string { return socketPrefix + r.Owner()[:8] + "-" }

func tempDirs() []string {
	if dir := os.TempDir(); dir != "/tmp" {
		return []string{dir, "/tmp"}
	}
	return []string{"/tmp"}
}

// placeSockets decides where the sockets of an instance are: in it, where its path is short
// enough, else in a directory of their own below the one that it returns: the temporary
// directory, or /tmp where that is long too, as on macOS.
func placeSockets(instance, temp, prefix string) (dir string, outside bool) {
	inside := filepath.Join(instance, SocketDir)
	if len(inside) <= maxSocketDir {
		return inside, false
	}
	if len(temp)+1+len(prefix)+randomEnd <= maxSocketDir {
		return temp, true
	}
	return "/tmp", true
}

// StraySocketDirs finds the socket directories of this root that no instance has written
// down. One whose bottle is being started right now may be among them.
func (r *Root) StraySocketDirs() map[string]names.Identity {
	known := map[string]bool{}
	instances, _ := r.List()
	for _, instance := range instances {
		if status, err := instance.Status(); err == nil {
			known[status.SocketDir] = true
		}
	}
	strays := map[string]names.Identity{}
	for _, temp := range tempDirs() {
		entries, err := os.ReadDir(temp)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			dir := filepath.Join(temp, entry.Name())
			rest, ours := strings.CutPrefix(entry.Name(), r.socketPrefix())
			end := strings.LastIndexByte(rest, '-')
			if !ours || end < 0 || known[dir] {
				continue
			}
			id, err := names.ParseIdentity(rest[:end])
			if err != nil {
				continue
			}
			if info, err := os.Lstat(dir); err == nil && info.IsDir() && checkOwner(dir, info) == nil {
				strays[dir] = id
			}
		}
	}
	return strays
}

// RemoveSocketDir removes a socket directory outside of an instance.
func (r *Root) RemoveSocketDir(dir string) error { return removeSocketDir(dir) }

// removeSocketDir removes only what SocketDir can have made.
func removeSocketDir(dir string) error {
	if err := checkSocketDir(dir); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the socket directory: %w", err)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("removing the socket directory: %w", err)
	}
	defer root.Close()
	return root.RemoveAll(filepath.Base(dir))
}

func checkSocketDir(dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), socketPrefix) || !filepath.IsAbs(dir) {
		return fmt.Errorf("socket directory %q is not ours: it is left alone", dir)
	}
	return nil
}
