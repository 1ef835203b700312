// Package leakcheck looks for the credentials of a bottle where none may be: in what the
// guest says of itself, in its disk, in its memory, and in what we keep on the host.
//
// Invariants: a place counts as clean only if something that must be there was found in the
// same pass; what is read is searched as bytes, in bounded memory, and never parsed; no
// credential is in a result, only its name.
package leakcheck

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"bottle.internal/internal/needle"
	"bottle.internal/internal/secret"
)

// Secret is a credential with a name that may be shown.
type Secret struct {
	Name  string
	Value secret.Value
}

// Search knows what to look for.
type Search struct {
	names   []string
	secrets *needle.Set
}

// New makes a search. Values that are too short to be told from ordinary text are left out,
// and named by the error's text beside the Search.
func New(secrets []Secret) (*Search, error) {
	s := &Search{}
	needles := map[int][]string{}
	var short []error
	for _, one := range secrets {
		if len(one.Value.Reveal()) < needle.MinLength {
			short = append(short, fmt.Errorf("%s is too short to be looked for", one.Name))
			continue
		}
		needles[len(s.names)] = needle.Spellings(one.Value.Reveal())
		s.names = append(s.names, one.Name)
	}
	s.secrets = needle.NewSet(needles)
	return s, errors.Join(short...)
}

// Secrets is how many are looked for.
func (s *Search) Secrets() int { return len(s.names) }

// Result is what was found in one place.
type Result struct {
	Place   string `json:"place"`
	Bytes   int64  `json:"bytes"`
	Leak    string `json:"leak,omitempty"` // the name of a credential that is there
	Control bool   `json:"control"`        // what must be there was found
	Problem string `json:"problem,omitempty"`
}

// Verdict is "clean", "LEAK: name" or "uncontrolled: why".
func (r Result) Verdict() string {
	switch {
	case r.Leak != "": // also if the search ended early
		return "LEAK: " + r.Leak
	case r.Problem != "":
		return "uncontrolled: " + r.Problem
	case !r.Control:
		return "uncontrolled: what must be there was not found either"
	}
	return "clean"
}

// Writer searches what is written to it, until Result.
type Writer struct {
	result  Result
	names   []string
	secrets needle.Scanner
	control needle.Scanner
}

// Writer begins a search of a place in which control must be found.
func (s *Search) Writer(place, control string) *Writer {
	w := &Writer{result: Result{Place: place}, names: s.names}
	w.secrets.Set = s.secrets
	w.control.Set = needle.NewSet(map[int][]string{0: {control}})
	return w
}

// Write implements [io.Writer]. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.result.Bytes += int64(len(p))
	if w.result.Leak == "" {
		if id, found := w.secrets.Scan(p); found {
			w.result.Leak = w.names[id]
		}
	}
	if !w.result.Control {
		_, w.result.Control = w.control.Scan(p)
	}
	return len(p), nil
}

// Result ends the search; err is what kept it from seeing everything.
func (w *Writer) Result(err error) Result {
	if err != nil {
		w.result.Problem = err.Error()
	}
	return w.result
}

// Files searches a file, or all regular files below a directory, without following links.
// It reads at most limit bytes.
func (s *Search) Files(place, root, control string, limit int64) Result {
	w := s.Writer(place, control)
	left := limit
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != root {
			return nil // it has just gone
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		n, err := copyFile(w, path, left)
		if left -= n; err == nil && left <= 0 {
			err = fmt.Errorf("only the first %d MiB were searched", limit>>20)
		}
		return err
	})
	return w.Result(err)
}

// copyFile skips the holes of a sparse file: zeros hide nothing.
func copyFile(w io.Writer, path string, limit int64) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var read int64
	for at := int64(0); read < limit; {
		begin, end, err := nextData(file, at)
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil {
			return read, err
		}
		n, err := io.Copy(w, io.NewSectionReader(file, begin, min(end-begin, limit-read)))
		if read += n; err != nil {
			return read, err
		}
		at = end
	}
	return read, nil
}
