package provision

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxTarBytes bounds what one Apply sends.
const maxTarBytes = 64 << 20

// complete checks the files, adds the agent's directories above them, and sorts.
// Directories of the system are left as they are: the guest makes those that are missing,
// as root, and an entry would change the mode of those that exist.
func complete(files []File) ([]File, error) {
	all := map[string]File{}
	size := 0
	for _, file := range files {
		if err := checkPath(file.Path); err != nil {
			return nil, err
		}
		if extra := file.Mode &^ (fs.ModeDir | fs.ModePerm); extra != 0 {
			return nil, fmt.Errorf("%s: mode %s is not allowed", file.Path, file.Mode)
		}
		if _, twice := all[file.Path]; twice {
			return nil, fmt.Errorf("%s is there twice", file.Path)
		}
		all[file.Path] = file
		size += len(file.Data)
	}
	if size > maxTarBytes {
		return nil, fmt.Errorf("the files have %d MiB, at most %d are possible", size>>20, maxTarBytes>>20)
	}
	for _, file := range files {
		for dir := path.Dir(file.Path); dir != "/"; dir = path.Dir(dir) {
			parent, known := all[dir]
			if known && !parent.Mode.IsDir() {
				return nil, fmt.Errorf("%s is a file and the directory of %s", dir, file.Path)
			}
			if !known && isAgents(dir) {
				all[dir] = agentDir(dir)
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b File) int { return cmp.Compare(a.Path, b.Path) }), nil
}

func checkPath(name string) error {
	switch {
	case !path.IsAbs(name) || name == "/" || path.Clean(name) != name:
		return fmt.Errorf("path %.200q: want an absolute path without dot segments", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("path %.200q has characters that are not allowed", name)
	case len(name) > 1024:
		return fmt.Errorf("path %.40q... is longer than 1024 bytes", name)
	}
	return nil
}

// instructionsName is the archive's first entry: what the guest does beside unpacking, in
// lines that internal/guest/receive reads.
const instructionsName = "bottle-instructions"

func instructions(r Rendered, entries int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "entries %d\n", entries)
	for _, name := range r.Remove {
		fmt.Fprintf(&out, "remove %s\n", name)
	}
	for _, certificate := range r.Trust {
		fmt.Fprintf(&out, "trust %s %s\n", certificate.Hash, certificate.File)
	}
	if r.Workdir != "" {
		fmt.Fprintf(&out, "workdir %s\n", r.Workdir)
	}
	return out.Bytes()
}

// archive makes the tar, with names relative to / and one fixed time.
func archive(r Rendered) ([]byte, error) {
	files, err := complete(r.Files)
	if err != nil {
		return nil, err
	}
	if err := checkPaths(r); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range append([]File{{Path: "/" + instructionsName, Mode: 0o600, Data: instructions(r, len(files))}}, files...) {
		if err := writeEntry(w, file); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", file.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, errors.New("archiving: the end is missing")
	}
	return out.Bytes(), nil
}

// checkPaths looks at what goes into the instructions, each on a line of its own.
func checkPaths(r Rendered) error {
	var problem error
	for _, name := range r.Remove {
		problem = errors.Join(problem, checkPath(name))
	}
	for _, certificate := range r.Trust {
		problem = errors.Join(problem, checkPath(certificate.File))
	}
	if r.Workdir != "" {
		problem = errors.Join(problem, checkPath(r.Workdir))
	}
	return problem
}

func writeEntry(w *tar.Writer, file File) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     strings.TrimPrefix(file.Path, "/"),
		Size:     int64(len(file.Data)),
		Mode:     int64(file.Mode.Perm()),
		Uid:      file.UID,
		Gid:      file.GID,
		ModTime:  time.Unix(1767225600, 0), // 2026-01-01; the guest takes its own time
	}
	if file.Mode.IsDir() {
		header.Typeflag, header.Size = tar.TypeDir, 0
		header.Name += "/"
	}
	if err := w.WriteHeader(header); err != nil || header.Size == 0 {
		return err
	}
	_, err := w.Write(file.Data)
	return err
}
