package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/names"
)

// maxSocketDir leaves room for "/65535.sock" in the 103 bytes that macOS gives a
// unix socket path (Linux gives 107).
const maxSocketDir = 90

// socketPrefix begins the name of a socket directory outside the instance.
const socketPrefix = "bottle-sock-"

// lockTries and lockPause bound the wait for a lock that is only being looked at.
const (
	lockTries = 5
	lockPause = 5 * time.Millisecond
)

// ErrLocked means that a living process owns the bottle.
var ErrLocked = errors.New("the bottle is in use by another process")

// Phase says how far a bottle got.
type Phase string

// The phases in their order.
const (
	Starting Phase = "starting"
	Running  Phase = "running"
	Stopping Phase = "stopping"
)

// Status is what other processes may know of a bottle.
type Status struct {
	Identity  names.Identity `json:"identity"`
	Agent     string         `json:"agent"`
	Bottle    string         `json:"bottle"`
	Phase     Phase          `json:"phase"`
	PID       int            `json:"pid"` // of the owner
	Created   time.Time      `json:"created"`
	VMTool    string         `json:"vm_tool"`      // name and version
	VMPath    string         `json:"vm_tool_path"` // the binary, for stop
	Machine   string         `json:"machine"`      // name of the VM
	Firewall  string         `json:"firewall"`
	SocketDir string         `json:"socket_dir,omitempty"` // only if outside the instance
}

// Instance is the directory of one bottle.
type Instance struct {
	ID   names.Identity
	dir  string
	root *Root
	lock *os.File
}

// Dir is the instance's absolute path.
func (i *Instance) Dir() string { return i.dir }

// Path is the path of one of the files that this package names.
func (i *Instance) Path(name string) string { return filepath.Join(i.dir, name) }

// SocketDir returns a private directory for the bottle's sockets: inside the instance
// where the path is short enough for a socket, else a fresh one under the temporary
// directory, whose path belongs into [Status].SocketDir.
func (i *Instance) SocketDir() (dir string, outside bool, err error) {
	inside := filepath.Join(i.dir, SocketDir)
	if len(inside) <= maxSocketDir {
		return inside, false, nil
	}
	dir, err = os.MkdirTemp(shortTemp(), socketPrefix)
	if err != nil {
		return "", false, fmt.Errorf("making a socket directory: %w", err)
	}
	if err := checkPath(dir); err != nil {
		return "", false, errors.Join(fmt.Errorf("checking the socket directory: %w", err), os.Remove(dir))
	}
	return dir, true, nil
}

func shortTemp() string {
	if dir := os.TempDir(); len(dir) < maxSocketDir-30 {
		return dir
	}
	return "/tmp"
}

// Lock takes the instance's lock for the life of this process, or returns ErrLocked.
func (i *Instance) Lock() error {
	file, err := os.OpenFile(i.Path(LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("locking bottle %s: %w", i.ID, err)
	}
	// Somebody's Owned may hold the lock for an instant: that is no owner.
	for range lockTries {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(lockPause) //nolint:forbidigo // bounded to lockTries
	}
	if err == nil {
		i.lock = file
		return nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrLocked, i.ID)
	}
	return fmt.Errorf("locking bottle %s: %w", i.ID, err)
}

// Unlock releases the lock.
func (i *Instance) Unlock() {
	if i.lock != nil {
		_ = i.lock.Close()
		i.lock = nil
	}
}

// Owned reports whether a living process owns the bottle. It asks with a shared lock,
// so that two who ask do not take each other for the owner.
func (i *Instance) Owned() bool {
	file, err := os.Open(i.Path(LockFile))
	if err != nil {
		return false
	}
	defer file.Close()
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// WriteStatus replaces the status file.
func (i *Instance) WriteStatus(status Status) error { return i.writeJSON(StatusFile, status) }

// Status reads the status file. A bottle that died before its first status gives one
// with only the identity and agent.
func (i *Instance) Status() (Status, error) {
	status := Status{Identity: i.ID, Agent: i.ID.Agent(), Phase: Starting}
	data, err := os.ReadFile(i.Path(StatusFile))
	if errors.Is(err, fs.ErrNotExist) {
		return status, nil
	}
	if err != nil {
		return status, fmt.Errorf("reading the status of %s: %w", i.ID, err)
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return status, fmt.Errorf("reading the status of %s: %w", i.ID, err)
	}
	if status.Identity != i.ID {
		return status, fmt.Errorf("reading the status of %s: it belongs to %q", i.ID, status.Identity)
	}
	return status, nil
}

// WriteFile writes a file of the instance, whole or not at all, mode 0600.
func (i *Instance) WriteFile(name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("writing %s: not a name inside the instance", name)
	}
	if err := writeAtomic(i.Path(name), data); err != nil {
		return fmt.Errorf("writing %s of %s: %w", name, i.ID, err)
	}
	return nil
}

func (i *Instance) writeJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return i.WriteFile(name, append(data, '\n'))
}

// Remove deletes the instance and a socket directory that it has elsewhere.
func (i *Instance) Remove() error {
	var problems []error
	if status, err := i.Status(); err == nil && status.SocketDir != "" {
		problems = append(problems, removeSocketDir(status.SocketDir))
	}
	problems = append(problems, i.root.remove(i.ID))
	i.Unlock()
	return errors.Join(problems...)
}

// removeSocketDir removes only what SocketDir can have made.
func removeSocketDir(dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), socketPrefix) || !filepath.IsAbs(dir) {
		return fmt.Errorf("socket directory %q is not ours: it is left alone", dir)
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
