package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"bottle.internal/internal/names"
)

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
	// Stopped is the phase of a kept bottle: nothing of it runs, and its machine's disk
	// and this directory wait for a resume.
	Stopped Phase = "stopped"
)

// Status is what other processes may know of a bottle.
type Status struct {
	Identity    names.Identity `json:"identity"`
	Agent       string         `json:"agent"`
	Bottle      string         `json:"bottle"`
	Phase       Phase          `json:"phase"`
	PID         int            `json:"pid"`                 // of the owner
	PIDStart    string         `json:"pid_start,omitempty"` // tells it from a later process with the same number
	Created     time.Time      `json:"created"`
	VMTool      string         `json:"vm_tool"`      // name and version
	VMPath      string         `json:"vm_tool_path"` // the binary, for stop
	Machine     string         `json:"machine"`      // name of the VM
	Firewall    string         `json:"firewall"`
	SocketDir   string         `json:"socket_dir,omitempty"` // only if outside the instance
	Artifact    string         `json:"artifact,omitempty"`   // what the machine boots from: it must stay where it is
	ImageKey    string         `json:"image_key,omitempty"`  // of the image that the machine was made from
	ImageDigest string         `json:"image_digest,omitempty"`
	PackSHA256  string         `json:"pack_sha256,omitempty"`
	// Tools are the sha256 of what the machine was started from, by name.
	Tools map[string]string `json:"tools,omitempty"`
	// How the agent ended, of a bottle that is kept. No code: it did not end by itself.
	ExitCode *int      `json:"exit_code,omitempty"`
	Ended    time.Time `json:"ended,omitzero"`
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
	if err == nil && !i.holds(file) { // removed between our open and our lock
		err = fs.ErrNotExist
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

// holds reports whether file is the instance's lock file, and not one that is gone.
func (i *Instance) holds(file *os.File) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(i.Path(LockFile))
	return err == nil && os.SameFile(ours, named)
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

// Gone reports whether the instance has been removed.
func (i *Instance) Gone() bool {
	_, err := os.Lstat(i.dir)
	return errors.Is(err, fs.ErrNotExist)
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
