// Package receive is the guest's half of provisioning: it reads the one archive that the
// host sends and does what the archive says, without starting a single process. Process
// starts are what costs time in an emulated machine.
//
// Invariants:
//   - Nothing happens before the instructions, the archive's first entry, are understood
//     to the last field.
//   - The ready file is gone before the first change, and is back only after the last.
//     An archive that ends early never makes a machine ready.
//   - Receiving the same archive again gives the same machine.
//   - A file or directory takes the place of a link of the same name and never follows it.
package receive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bottle.internal/internal/guestapi"
)

// InstructionsName is the archive's first entry, of at most MaxInstructions bytes: lines
// of a word and what it is about. The words are entries, remove, trust and workdir.
const (
	InstructionsName = "bottle-instructions"
	MaxInstructions  = 1 << 20
)

// Place is the machine.
type Place struct {
	Root  string                                // "/" but in tests
	Chown func(name string, uid, gid int) error // nil but in tests, which are not root
}

// Receive does what the archive says. An error begins with the name of the step. The
// caller's umask is 022.
func (p Place) Receive(archive io.Reader) error {
	entries := tar.NewReader(archive)
	instructions, err := readInstructions(entries)
	if err != nil {
		return fmt.Errorf("instructions: %w", err)
	}
	for _, name := range append([]string{guestapi.ReadyFile}, instructions.remove...) {
		if err := os.RemoveAll(p.path(name)); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
	}
	if err := p.unpack(entries, instructions.entries); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if err := p.trust(instructions.trust); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if err := p.makeWorkdir(instructions.workdir); err != nil {
		return fmt.Errorf("workdir: %w", err)
	}
	if err := os.WriteFile(p.path(guestapi.ReadyFile), nil, 0o644); err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	return nil
}

// path is where something of the guest is.
func (p Place) path(name string) string { return filepath.Join(p.Root, name) }

// whole says it when an archive ends where more should come.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the archive is cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// makeWorkdir leaves one that exists, such as /tmp, as it is.
func (p Place) makeWorkdir(name string) error {
	if name == "" {
		return nil
	}
	dir := p.path(name)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if p.Chown != nil {
		return p.Chown(dir, guestapi.AgentUID, guestapi.AgentGID)
	}
	return os.Lchown(dir, guestapi.AgentUID, guestapi.AgentGID)
}
