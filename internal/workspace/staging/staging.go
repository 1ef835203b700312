// Package staging takes what a guest sent, once, into a private directory: every later step
// shows and writes exactly those bytes.
//
// Invariants: a file's bytes are stored under their checksum, never under a name of the
// guest's; nothing of the directory is left when it is closed or could not be filled.
package staging

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/wire"
)

// Stage is what a guest sent.
type Stage struct {
	Changed map[string]workspace.State // files and links, new or not as in the base
	Gone    map[string]bool
	Skipped []workspace.Excluded

	dir  string
	root *os.Root
}

// incoming is a blob whose checksum is not known yet.
const incoming = "incoming"

// Receive reads a stream to its end into a new directory below parent. Its owner closes it.
func Receive(stream io.Reader, parent string, limits workspace.Limits) (stage *Stage, err error) {
	dir, err := os.MkdirTemp(parent, "copy-out-")
	if err != nil {
		return nil, fmt.Errorf("making the staging directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the staging directory: %w", err), os.Remove(dir))
	}
	s := &Stage{Changed: map[string]workspace.State{}, Gone: map[string]bool{}, dir: dir, root: root}
	if err := s.receive(wire.NewReader(stream, limits)); err != nil {
		return nil, errors.Join(fmt.Errorf("receiving the workspace: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stage) receive(stream *wire.Reader) error {
	var head wire.Packed
	if err := stream.Head(&head); err != nil {
		return err
	}
	if head.Format != wire.Format {
		return fmt.Errorf("the guest speaks format %d, this bottle %d: it was started by another version", head.Format, wire.Format)
	}
	for {
		record, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.take(record); err != nil {
			return err
		}
	}
}

func (s *Stage) take(record wire.Record) error {
	switch record.Kind {
	case wire.Content:
		if s.Gone[record.Path] {
			return fmt.Errorf("%s is there, and gone too", workspace.Name(record.Path).Show())
		}
		if record.State.Kind == workspace.File {
			sum, err := s.store(record.Content)
			if err != nil {
				return err
			}
			record.State.Sum = sum
		}
		s.Changed[record.Path] = record.State
	case wire.Gone:
		if s.Changed[record.Path].Kind != workspace.Absent {
			return fmt.Errorf("%s is there, and gone too", workspace.Name(record.Path).Show())
		}
		s.Gone[record.Path] = true
	case wire.Skipped:
		why, err := io.ReadAll(record.Content)
		if err != nil {
			return err
		}
		s.Skipped = append(s.Skipped, workspace.Excluded{Path: workspace.Name(record.Path), Why: workspace.Name(why).Show()})
	default:
		return fmt.Errorf("nothing that a guest sends: %s", record.Kind)
	}
	return nil
}

// store writes a file's bytes under their checksum.
func (s *Stage) store(content io.Reader) (sum string, err error) {
	file, err := s.root.OpenFile(incoming, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, hash), content)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, s.root.Rename(incoming, sum)
}

// Open opens the bytes with a checksum.
func (s *Stage) Open(sum string) (fs.File, error) {
	return s.root.Open(sum)
}

// Close removes the directory.
func (s *Stage) Close() error {
	return errors.Join(s.root.Close(), os.RemoveAll(s.dir))
}
