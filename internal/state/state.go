// Package state keeps what a bottle leaves on the host's disk: one directory per
// identity, made before any other effect and removed after all of them.
//
// Invariants: the root and every instance are ours and mode 0700; no path component
// is a symlink that somebody else could turn; files are written whole or not at all;
// the process that owns a running bottle holds the instance's lock, so a lock that
// can be taken means that the owner is gone, whatever killed it.
//
// An instance directory holds:
//
//	plan.json    what was asked for, as resolved
//	status.json  how far it got: [Status]
//	lock         held by the owner
//	sockets/     one unix socket per guest port (or elsewhere, see [Instance.SocketDir])
//	bundle.log   what the bundle's daemons printed
//	agent.jsonl  what the agent printed, line by line
//	owner.log    what the owner of a detached bottle had to say
//	attach.sock  where that owner can be reached (or in its socket directory)
//	supervise/   what the agent asked for and what was decided (internal/proposal)
//	approved.json  approvals that hold after a resume too
//	wish         what `bottle stop` wants of the owner: [Wish]
//	alarm.json   a fake credential of this launch was seen
//	workspace.json  where the workspace came from (internal/workspace)
//	workspace.base  what went in: a line for each path
//	agent-rootfs/  the root of a machine of smolvm, which writes there
//	copy-out-*/  what a guest sent, while somebody looks at it
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/names"
)

// File names inside an instance directory.
const (
	PlanFile   = "plan.json"
	StatusFile = "status.json"
	LockFile   = "lock"
	SocketDir  = "sockets"
	BundleLog  = "bundle.log"
	AgentLog   = "agent.jsonl"
	OwnerLog   = "owner.log"

	AttachSocket = "attach.sock"

	SuperviseDir = "supervise"
	ApprovedFile = "approved.json"
	WishFile     = "wish"
	AlarmFile    = "alarm.json"

	WorkspaceFile = "workspace.json"
	WorkspaceBase = "workspace.base"

	RootfsDir = "agent-rootfs"
)

// AuditDir is below the root and outlives every bottle: their audit logs, and the key that
// signs them.
const (
	AuditDir = ".audit"
	AuditKey = AuditDir + "/key"
)

// AuditLog is the path of a bottle's audit log below the root.
func AuditLog(id names.Identity) string { return AuditDir + "/" + string(id) + ".jsonl" }

// ErrNotFound means that there is no such instance.
var ErrNotFound = errors.New("no such bottle")

// ErrExists means that the identity is taken.
var ErrExists = errors.New("bottle exists")

// Root is the directory of all instances, $XDG_STATE_HOME/bottle.
type Root struct{ dir string }

// OpenRoot makes the directory if needed and checks that it is safe to use.
func OpenRoot(dir string) (*Root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	if err := checkPath(dir); err != nil {
		return nil, fmt.Errorf("checking the state directory: %w", err)
	}
	r := &Root{dir: dir}
	if err := r.sweep(); err != nil {
		return nil, fmt.Errorf("sweeping the state directory: %w", err)
	}
	return r, nil
}

// Dir is the absolute path of the root.
func (r *Root) Dir() string { return r.dir }

// Owner tells what belongs to this root from what another user or another root has in the
// same places: engine, VM tool, temporary directory.
func (r *Root) Owner() string {
	sum := sha256.Sum256([]byte(r.dir))
	return hex.EncodeToString(sum[:8])
}

// newPrefix begins the name of an instance that is being made. It gets its own name with
// its lock taken, so that nobody ever sees one without an owner.
const newPrefix = ".new-"

// youth is how long a directory may have no lock yet.
const youth = time.Minute

// Create makes an instance directory and takes its lock.
func (r *Root) Create(id names.Identity) (*Instance, error) {
	if _, err := names.ParseIdentity(string(id)); err != nil {
		return nil, err
	}
	final := filepath.Join(r.dir, string(id))
	if _, err := os.Lstat(final); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrExists, id)
	}
	dir, err := os.MkdirTemp(r.dir, newPrefix)
	if err != nil {
		return nil, fmt.Errorf("making the instance directory: %w", err)
	}
	instance := &Instance{ID: id, dir: dir, root: r}
	err = os.Mkdir(filepath.Join(dir, SocketDir), 0o700)
	if err == nil {
		err = instance.Lock()
	}
	if err == nil {
		err = os.Rename(dir, final)
	}
	if err == nil {
		instance.dir = final
		return instance, nil
	}
	instance.Unlock()
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		err = fmt.Errorf("%w: %s", ErrExists, id)
	} else {
		err = fmt.Errorf("making the instance directory: %w", err)
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

// Open finds an instance; it does not lock it.
func (r *Root) Open(id names.Identity) (*Instance, error) {
	if _, err := names.ParseIdentity(string(id)); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, string(id))
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	case err != nil:
		return nil, fmt.Errorf("opening bottle %s: %w", id, err)
	case !info.IsDir():
		return nil, fmt.Errorf("opening bottle %s: %s is no directory", id, dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return nil, fmt.Errorf("opening bottle %s: %w", id, err)
	}
	return &Instance{ID: id, dir: dir, root: r}, nil
}

// List returns every instance, sorted by identity. Entries that are no instance are
// reported beside it: one broken bottle must not hide the others.
func (r *Root) List() (instances []*Instance, problems []error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, []error{fmt.Errorf("listing bottles: %w", err)}
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		id, err := names.ParseIdentity(entry.Name())
		if err != nil {
			problems = append(problems, fmt.Errorf("%s in %s is not ours: it is left alone", entry.Name(), r.dir))
			continue
		}
		instance, err := r.Open(id)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		instances = append(instances, instance)
	}
	slices.SortFunc(instances, func(a, b *Instance) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return instances, problems
}

// gonePrefix begins the name of an instance that is being removed. Under it nobody
// takes the directory for a bottle, and no new lock file can appear in it.
const gonePrefix = ".gone-"

// remove deletes an instance directory without following a symlink out of it.
func (r *Root) remove(id names.Identity) error {
	if _, err := names.ParseIdentity(string(id)); err != nil {
		return err
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return fmt.Errorf("removing bottle %s: %w", id, err)
	}
	defer root.Close()
	gone := gonePrefix + string(id)
	if err := RemoveTree(root, gone); err != nil { // of a process that was killed right here
		return fmt.Errorf("removing bottle %s: %w", id, err)
	}
	if err := root.Rename(string(id), gone); err != nil {
		return fmt.Errorf("removing bottle %s: %w", id, err)
	}
	if err := RemoveTree(root, gone); err != nil {
		return fmt.Errorf("removing bottle %s: %w", id, err)
	}
	return nil
}

// sweep finishes removals that a killed process had begun, and takes away what one had
// only begun to make.
func (r *Root) sweep() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var problems []error
	for _, entry := range entries {
		id, gone := strings.CutPrefix(entry.Name(), gonePrefix)
		if _, err := names.ParseIdentity(id); gone && err == nil || r.abandoned(entry) {
			problems = append(problems, RemoveTree(root, entry.Name()))
		}
	}
	return errors.Join(problems...)
}

// abandoned reports whether nobody makes this instance any more.
func (r *Root) abandoned(entry fs.DirEntry) bool {
	if !strings.HasPrefix(entry.Name(), newPrefix) || !entry.IsDir() {
		return false
	}
	info, err := entry.Info()
	if err != nil {
		return false
	}
	maker := &Instance{dir: filepath.Join(r.dir, entry.Name()), root: r}
	if _, err := os.Lstat(maker.Path(LockFile)); err != nil {
		return time.Since(info.ModTime()) > youth
	}
	return !maker.Owned()
}
