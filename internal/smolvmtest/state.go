package smolvmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	stateFile = "state.json"
	lockFile  = "lock"
	callsFile = "calls.jsonl"
)

type fault struct {
	Subcommand string `json:"subcommand"`
	How        string `json:"how"`
	Times      int    `json:"times"`
}

type machine struct {
	Name    string            `json:"name"`
	Source  string            `json:"source"`
	CPUs    int               `json:"cpus"`
	MemMiB  int               `json:"mem_mib"`
	Storage *int              `json:"storage"`
	Overlay *int              `json:"overlay"`
	Running bool              `json:"running"`
	Started bool              `json:"started"` // ever
	PID     int               `json:"pid"`     // the last VMM's
	Created int64             `json:"created"`
	Network bool              `json:"network"`
	Labels  map[string]string `json:"labels"`
	Cmd     []string          `json:"cmd"`
}

type state struct {
	Machines map[string]*machine `json:"machines"`
	Faults   []fault             `json:"faults"`
	VMMs     []int               `json:"vmms"` // every one ever started
}

// store is the fake's directory. Several fakes and the test use it at once.
type store struct{ dir string }

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// guestRoot is the directory that plays a machine's file system.
func (s store) guestRoot(name string) string { return filepath.Join(s.dir, "guests", name) }

func (s store) update(change func(*state) error) error {
	lock, err := os.OpenFile(s.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // lets the lock go
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking the fake's state: %w", err)
	}
	current := state{Machines: map[string]*machine{}}
	data, err := os.ReadFile(s.path(stateFile))
	if err == nil {
		err = json.Unmarshal(data, &current)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	failure := change(&current)
	data, err = json.Marshal(current)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path(stateFile+".new"), data, 0o600); err != nil {
		return err
	}
	return errors.Join(failure, os.Rename(s.path(stateFile+".new"), s.path(stateFile)))
}

// takeFault consumes the first fault set for the subcommand, or returns "".
func (s store) takeFault(subcommand string) (how string, err error) {
	err = s.update(func(current *state) error {
		for i := range current.Faults {
			f := &current.Faults[i]
			if f.Subcommand == subcommand && f.Times != 0 {
				f.Times--
				how = f.How
				return nil
			}
		}
		return nil
	})
	return how, err
}

// logCall appends one line; O_APPEND keeps lines of concurrent fakes whole.
func (s store) logCall(call Call) error {
	data, err := json.Marshal(call)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.path(callsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	return errors.Join(err, file.Close())
}
