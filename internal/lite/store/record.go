//go:build linux

// Package store keeps the machines of smolvm-lite on disk.
//
// A machine is a directory that appears and vanishes by rename, so a crash leaves all
// of it or nothing. Whoever starts a machine holds the lock in it, and hands the lock
// to the supervisor, which holds it for as long as it lives: the kernel releases it on
// any death. Process ids are believed only together with their start time.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a machine.
const (
	recordFile    = "machine.json"
	runFile       = "run.json"
	lockFile      = "lock"
	ImageFile     = "image.ext4"
	OverlayFile   = "overlay.ext4"
	BootFile      = "boot.json"
	ControlSocket = "control.sock"
	ConsoleLog    = "console.log"
	SupervisorLog = "supervisor.log"
)

// maxRecord bounds what is read back.
const maxRecord = 4 << 20

// Socket is one mounted socket.
type Socket struct {
	Host  string `json:"host"`
	Guest string `json:"guest"`
}

// Record is what create decided.
type Record struct {
	Name       string            `json:"name"`
	CPUs       int               `json:"cpus"`
	MemMiB     int               `json:"mem_mib"`
	StorageGiB *int              `json:"storage_gib,omitempty"`
	OverlayGiB *int              `json:"overlay_gib,omitempty"`
	Image      *string           `json:"image,omitempty"`
	Entrypoint []string          `json:"entrypoint"`
	Cmd        []string          `json:"cmd"`
	Env        []string          `json:"env"`
	Workdir    string            `json:"workdir"`
	Sockets    []Socket          `json:"sockets"`
	Labels     map[string]string `json:"labels"`
	CreatedAt  int64             `json:"created_at"`
	Source     *Source           `json:"source,omitempty"` // of the image; nil: a copy of the machine's own
}

// Source is the artifact that a machine boots from, where it lies. It must stay there,
// and as it was: the writable disk fits no other content.
type Source struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Inode uint64 `json:"inode"`
	Mtime int64  `json:"mtime_ns"`
}

// SourceOf looks at an artifact.
func SourceOf(path string) (Source, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Source{}, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return Source{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return Source{Path: path, Size: stat.Size, Inode: stat.Ino, Mtime: stat.Mtim.Nano()}, nil
}

// Check says whether the artifact is still what it was.
func (s Source) Check() error {
	now, err := SourceOf(s.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("source .smolmachine not found: %s", s.Path)
	case err != nil:
		return err
	case now != s:
		return fmt.Errorf("source .smolmachine changed since the machine was created: %s", s.Path)
	}
	return nil
}

// Run is the last start of a machine.
type Run struct {
	Supervisor Process `json:"supervisor"`
	QEMU       Process `json:"qemu"` // zero until it was started
	Accel      string  `json:"accel"`
	Ready      bool    `json:"ready"`
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

var doubleDash = regexp.MustCompile(`--|-$`)

// ValidateName has smolvm's own rule.
func ValidateName(name string) error {
	if !namePattern.MatchString(name) || doubleDash.MatchString(name) {
		return fmt.Errorf("invalid machine name '%.140s': use 1 to 128 letters, digits, '-' and '_', "+
			"beginning with a letter or digit, without '--' or a '-' at the end", name)
	}
	return nil
}

func readJSON(path string, into any) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxRecord {
		return fmt.Errorf("%s is larger than %d bytes", filepath.Base(path), maxRecord)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decoding %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeJSON(path string, value any) (err error) {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		_ = temp.Close()
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	if _, err := temp.Write(append(data, '\n')); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// Dir is the directory of an existing machine. The supervisor knows nothing else.
type Dir string

// Path of a file in it.
func (d Dir) Path(file string) string { return filepath.Join(string(d), file) }

// ReadRecord reads what create decided.
func (d Dir) ReadRecord() (Record, error) {
	var r Record
	if err := readJSON(d.Path(recordFile), &r); err != nil {
		return Record{}, fmt.Errorf("reading machine %s: %w", filepath.Base(string(d)), err)
	}
	return r, nil
}

// ReadRun reads the last start; ok is false if there was none.
func (d Dir) ReadRun() (run Run, ok bool, err error) {
	err = readJSON(d.Path(runFile), &run)
	if errors.Is(err, fs.ErrNotExist) {
		return Run{}, false, nil
	}
	if err != nil {
		return Run{}, false, fmt.Errorf("reading machine %s: %w", filepath.Base(string(d)), err)
	}
	return run, true, nil
}

// WriteRun replaces it atomically.
func (d Dir) WriteRun(run Run) error {
	if err := writeJSON(d.Path(runFile), run); err != nil {
		return fmt.Errorf("recording the start: %w", err)
	}
	return nil
}

// WriteFile writes JSON beside the record, atomically.
func (d Dir) WriteFile(name string, value any) error {
	if err := writeJSON(d.Path(name), value); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// ReadFile reads it back.
func (d Dir) ReadFile(name string, into any) error {
	return readJSON(d.Path(name), into)
}

// now is the record's clock.
func now() int64 { return time.Now().Unix() }
