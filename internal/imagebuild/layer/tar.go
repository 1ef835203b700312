// Package layer writes image layers that depend on nothing but their content, and
// keeps them on disk under the key of that content.
//
// Entries are sorted, parents come before children, and mode, owner and the time (the
// Unix epoch) are set by us: neither the umask nor the clock of the machine that
// builds is seen in a layer. A warm build reads a record of a few bytes per layer.
package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// Entry is one name in a layer.
type Entry struct {
	Path string // without a leading slash; clean
	Type byte   // tar.TypeReg, tar.TypeDir or tar.TypeSymlink
	Mode int64  // permissions with setuid, setgid and sticky as tar has them
	UID  int
	GID  int
	Link string // target of a symbolic link
	Size int64
	Open func() (io.ReadCloser, error) // content of a regular file
}

// Epoch is the time of everything that we make.
func Epoch() time.Time { return time.Unix(0, 0).UTC() }

// Dir is a directory of root's.
func Dir(name string, mode int64) Entry { return Entry{Path: name, Type: tar.TypeDir, Mode: mode} }

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{Path: name, Type: tar.TypeSymlink, Mode: 0o777, Link: target}
}

// File is a small file of root's.
func File(name string, mode int64, content []byte) Entry {
	return Entry{Path: name, Type: tar.TypeReg, Mode: mode, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(content))), nil
	}}
}

// Write writes the entries, sorted and with the parents that they lack (0755, root).
// Two entries of one path are an error.
func Write(w io.Writer, entries []Entry) error {
	complete, err := WithParents(entries)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, entry := range complete {
		if err := writeEntry(archive, entry); err != nil {
			return fmt.Errorf("writing /%s: %w", entry.Path, err)
		}
	}
	return archive.Close()
}

// WithParents returns the entries sorted, each after its parent directories.
func WithParents(entries []Entry) ([]Entry, error) {
	all := map[string]Entry{}
	for _, entry := range entries {
		if entry.Path == "" || entry.Path != strings.TrimPrefix(path.Clean("/"+entry.Path), "/") {
			return nil, fmt.Errorf("path %q of a layer is not clean", entry.Path)
		}
		if _, twice := all[entry.Path]; twice {
			return nil, fmt.Errorf("path /%s is in the layer twice", entry.Path)
		}
		all[entry.Path] = entry
	}
	for _, entry := range entries {
		for parent := path.Dir(entry.Path); parent != "."; parent = path.Dir(parent) {
			known, ok := all[parent]
			if !ok {
				all[parent] = Dir(parent, 0o755)
			} else if known.Type != tar.TypeDir {
				return nil, fmt.Errorf("path /%s of the layer lies below /%s, which is no directory", entry.Path, parent)
			}
		}
	}
	sorted := make([]Entry, 0, len(all))
	for _, entry := range all {
		sorted = append(sorted, entry)
	}
	slices.SortFunc(sorted, func(a, b Entry) int {
		return slices.Compare(strings.Split(a.Path, "/"), strings.Split(b.Path, "/"))
	})
	return sorted, nil
}

// Header is the tar header of an entry.
func (e Entry) Header() *tar.Header {
	header := &tar.Header{
		Typeflag: e.Type, Name: e.Path, Linkname: e.Link, Size: e.Size,
		Mode: e.Mode, Uid: e.UID, Gid: e.GID, ModTime: Epoch(),
	}
	if e.Type == tar.TypeDir {
		header.Name += "/"
	}
	return header
}

func writeEntry(archive *tar.Writer, entry Entry) error {
	if err := archive.WriteHeader(entry.Header()); err != nil {
		return err
	}
	if entry.Type != tar.TypeReg || entry.Size == 0 {
		return nil
	}
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	_, err = io.CopyN(archive, content, entry.Size)
	return err
}

// Normalise copies a root file system's tar with our names, the epoch as time and
// without what belongs to the machine that made it: device nodes, its name and nameserver,
// and times, names of owners and comments in extended headers. The order is kept.
func Normalise(w io.Writer, r io.Reader, watch Watch) error {
	archive, source := tar.NewWriter(w), tar.NewReader(r)
	for {
		header, err := source.Next()
		if err == io.EOF {
			return archive.Close()
		}
		if err != nil {
			return fmt.Errorf("reading the tar: %w", err)
		}
		clean, ok := normalHeader(header)
		if !ok || slices.Contains(ofTheMaker(), clean.Name) {
			continue
		}
		if err := archive.WriteHeader(clean); err != nil {
			return fmt.Errorf("writing /%s: %w", clean.Name, err)
		}
		var content strings.Builder
		var target io.Writer = archive
		watched := clean.Typeflag == tar.TypeReg && clean.Size <= watchLimit && slices.Contains(watch.Names, clean.Name)
		if watched {
			target = io.MultiWriter(archive, &content)
		}
		if _, err := io.Copy(target, source); err != nil {
			return fmt.Errorf("copying /%s: %w", clean.Name, err)
		}
		if watched {
			watch.Keep(clean, []byte(content.String()))
		}
	}
}

// ofTheMaker are files that mmdebstrap copies from the machine that it runs on: a guest is to
// learn nothing of the host's network, and the same base is to have the same bytes anywhere.
func ofTheMaker() []string { return []string{"etc/hostname", "etc/resolv.conf"} }

// Watch asks for the content of some regular files that pass by.
type Watch struct {
	Names []string // clean, no leading slash
	Keep  func(header *tar.Header, content []byte)
}

// watchLimit bounds a file that is kept in memory; larger ones are not handed out.
const watchLimit = 16 << 20

// Read hands out the watched files of a tar.
func Read(r io.Reader, watch Watch) error {
	source := tar.NewReader(r)
	for {
		header, err := source.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the tar: %w", err)
		}
		clean, ok := normalHeader(header)
		if !ok || clean.Typeflag != tar.TypeReg || clean.Size > watchLimit || !slices.Contains(watch.Names, clean.Name) {
			continue
		}
		content, err := io.ReadAll(source)
		if err != nil {
			return fmt.Errorf("reading /%s: %w", clean.Name, err)
		}
		watch.Keep(clean, content)
	}
}

func normalHeader(header *tar.Header) (*tar.Header, bool) {
	name := CleanName(header.Name)
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
	default:
		return nil, false
	}
	if name == "" {
		return nil, false
	}
	clean := &tar.Header{
		Typeflag: header.Typeflag, Name: name, Linkname: header.Linkname, Size: header.Size,
		Mode: header.Mode & 0o7777, Uid: header.Uid, Gid: header.Gid, ModTime: Epoch(),
	}
	switch header.Typeflag {
	case tar.TypeDir:
		clean.Name += "/"
	case tar.TypeLink:
		clean.Linkname = CleanName(header.Linkname)
	}
	for key, value := range header.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			if clean.PAXRecords == nil {
				clean.PAXRecords = map[string]string{}
			}
			clean.PAXRecords[key] = value
		}
	}
	return clean, true
}

// CleanName is a tar name without "./", a leading or a trailing slash; empty for the
// root. It never leaves the root: ".." stops there.
func CleanName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}
