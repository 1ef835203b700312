// Package workspace is what copy-in and copy-out have in common: how a directory's content
// is described, and the base, which is that description at the time of the copy-in.
//
// Invariants: a path is the bytes of the file system, never decoded, never cleaned; a
// workspace has files and symbolic links only (directories follow from their paths, as in
// git); of a mode only the owner's executable bit counts.
package workspace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"bottle.internal/internal/printable"
)

// ApplyDir is where a copy-out keeps its journal inside the directory that it changes. No
// workspace contains it.
const ApplyDir = ".bottle-apply"

// Kind is what a path is. Absent is its zero value.
type Kind string

// The kinds.
const (
	Absent Kind = ""
	File   Kind = "file"
	Link   Kind = "link"

	// Dir and Other are of the host only, where they are in the way.
	Dir   Kind = "directory"
	Other Kind = "neither a file nor a link"
)

// State is what is at a path.
type State struct {
	Kind   Kind   `json:"kind,omitempty"`
	Exec   bool   `json:"exec,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Sum    string `json:"sha256,omitempty"` // of a file's bytes, in hex
	Target Name   `json:"target,omitempty"` // of a link
}

// Entry is a path with its state.
type Entry struct {
	Path Name `json:"path"`
	State
}

// Excluded is a path that is not carried, and why.
type Excluded struct {
	Path      Name   `json:"path"`
	Why       string `json:"why"`
	Committed bool   `json:"committed,omitempty"` // the commits that go in have it
}

// IsExec reports whether a mode makes a file executable for its owner.
func IsExec(mode fs.FileMode) bool { return mode&0o100 != 0 }

// Name is a path or a link's target: any bytes. In JSON it is written as Go writes it
// between quotes, so that every byte survives and nothing of it reaches a terminal.
type Name string

// MarshalText implements [encoding.TextMarshaler].
func (n Name) MarshalText() ([]byte, error) {
	quoted := strconv.Quote(string(n))
	return []byte(quoted[1 : len(quoted)-1]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Name) UnmarshalText(text []byte) error {
	name, err := strconv.Unquote(`"` + string(text) + `"`)
	if err != nil {
		return fmt.Errorf("reading the name %q: %w", text, err)
	}
	*n = Name(name)
	return nil
}

// Show is the name for people: one line in which nothing moves the cursor or hides.
func (n Name) Show() string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(printable.SafeText(string(n)))
}

// Record says where a workspace came from. It is a small file of the instance, beside the
// base.
type Record struct {
	ID      string    `json:"id"`    // the guest has the same
	Dir     string    `json:"dir"`   // on the host
	Guest   string    `json:"guest"` // in the machine
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	History string    `json:"history,omitempty"` // the commit that went in, or nothing
	Copied  time.Time `json:"copied"`
}

// Base is what went in, by path.
type Base map[string]State

// Paths returns the base's paths in order.
func (b Base) Paths() []string {
	paths := make([]string, 0, len(b))
	for name := range b {
		paths = append(paths, name)
	}
	slices.Sort(paths)
	return paths
}

// WriteTo writes one line of JSON for each path, in order.
func (b Base) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	out := bufio.NewWriter(count)
	encoder := json.NewEncoder(out)
	for _, name := range b.Paths() {
		if err := encoder.Encode(Entry{Path: Name(name), State: b[name]}); err != nil {
			return count.n, fmt.Errorf("writing a base: %w", err)
		}
	}
	return count.n, out.Flush()
}

// ReadBase reads what WriteTo wrote, at most limit entries.
func ReadBase(r io.Reader, limit int) (Base, error) {
	base := Base{}
	for decoder := json.NewDecoder(r); ; {
		var entry Entry
		err := decoder.Decode(&entry)
		switch {
		case errors.Is(err, io.EOF):
			return base, nil
		case err != nil:
			return nil, fmt.Errorf("reading a base: %w", err)
		case len(base) == limit:
			return nil, fmt.Errorf("reading a base: more than %d entries", limit)
		}
		base[string(entry.Path)] = entry.State
	}
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Limits bound a workspace, on the way in and on the way out.
type Limits struct {
	Files int
	Bytes int64
}

// DefaultLimits are a project's, not a data set's.
func DefaultLimits() Limits { return Limits{Files: 200_000, Bytes: 1 << 30} }
