package npm

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"bottle.internal/internal/imagebuild/layer"
)

// Unpack says which files of a tarball go where.
type Unpack struct {
	Dir   string            // "opt/claude"
	Files []string          // names inside the package, without "package/"
	Links map[string]string // "claude" -> one of Files; made in usr/local/bin
}

// WriteLayer writes the tar of a layer: directories first, then the files in the order
// of the tarball (they are too big to be sorted), then the links. Only regular files
// that are named come out, with modes of ours.
func WriteLayer(w io.Writer, tarball string, unpack Unpack) error {
	source, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	plain, err := gzip.NewReader(source)
	if err != nil {
		return fmt.Errorf("reading the tarball: %w", err)
	}
	archive := tar.NewWriter(w)
	if err := writeDirs(archive, unpack); err != nil {
		return err
	}
	if err := copyFiles(archive, tar.NewReader(plain), unpack); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(unpack.Links)) {
		target := "/" + path.Join(unpack.Dir, unpack.Links[name])
		if err := archive.WriteHeader(layer.Symlink("usr/local/bin/"+name, target).Header()); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeDirs(archive *tar.Writer, unpack Unpack) error {
	var names []layer.Entry
	for _, file := range unpack.Files {
		names = append(names, layer.File(path.Join(unpack.Dir, file), 0o644, nil))
	}
	for name := range unpack.Links {
		names = append(names, layer.Symlink("usr/local/bin/"+name, "/"))
	}
	complete, err := layer.WithParents(names)
	if err != nil {
		return err
	}
	for _, entry := range complete {
		if entry.Type == tar.TypeDir {
			if err := archive.WriteHeader(entry.Header()); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFiles(archive *tar.Writer, source *tar.Reader, unpack Unpack) error {
	missing := map[string]bool{}
	for _, file := range unpack.Files {
		missing[file] = true
	}
	for {
		header, err := source.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the tarball: %w", err)
		}
		// npm takes the first directory off, whatever its name.
		_, name, _ := strings.Cut(layer.CleanName(header.Name), "/")
		if !missing[name] || header.Typeflag != tar.TypeReg {
			continue
		}
		delete(missing, name)
		entry := layer.File(path.Join(unpack.Dir, name), mode(header, name, unpack.Links), nil)
		entry.Size = header.Size
		if err := archive.WriteHeader(entry.Header()); err != nil {
			return err
		}
		if _, err := io.Copy(archive, source); err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the tarball has no file %s", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	return nil
}

// mode makes executable what is linked, whatever the tarball says: npm does so too.
func mode(header *tar.Header, name string, links map[string]string) int64 {
	for _, target := range links {
		if target == name {
			return 0o755
		}
	}
	if header.Mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}
