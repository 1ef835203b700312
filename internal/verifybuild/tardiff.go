package verifybuild

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// firstFile names the first file in which two layers differ, in the order of the archives.
func firstFile(was, now v1.Layer) (string, error) {
	before, err := was.Uncompressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = before.Close() }()
	after, err := now.Uncompressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = after.Close() }()
	return compareTars(tar.NewReader(before), tar.NewReader(after))
}

func compareTars(was, now *tar.Reader) (string, error) {
	for {
		a, err := next(was)
		if err != nil {
			return "", err
		}
		b, err := next(now)
		if err != nil {
			return "", err
		}
		switch {
		case a == nil && b == nil:
			return "the same files, packed in another way", nil
		case a == nil || b != nil && b.name < a.name:
			return b.name + " is new", nil
		case b == nil || a.name < b.name:
			return a.name + " is gone", nil
		}
		if what := a.differs(*b); what != "" {
			return a.name + ": " + what, nil
		}
	}
}

// entry is one file of an archive, as far as it can differ.
type entry struct {
	name   string
	header map[string]string
	sum    [sha256.Size]byte
}

// next is nil at the end.
func next(from *tar.Reader) (*entry, error) {
	header, err := from.Next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	one := &entry{name: header.Name, header: map[string]string{
		"type": string(header.Typeflag), "mode": fmt.Sprintf("%#o", header.Mode), "owner": fmt.Sprintf("%d:%d", header.Uid, header.Gid),
		"owner's name": header.Uname + ":" + header.Gname, "link": header.Linkname, "size": fmt.Sprint(header.Size),
		"time": header.ModTime.UTC().String(), "format": header.Format.String(),
	}}
	maps.Copy(one.header, header.PAXRecords)
	hash := sha256.New()
	if _, err := io.Copy(hash, from); err != nil {
		return nil, err
	}
	one.sum = [sha256.Size]byte(hash.Sum(nil))
	return one, nil
}

func (e entry) differs(other entry) string {
	names := slices.Sorted(maps.Keys(e.header))
	for name := range other.header {
		if _, both := e.header[name]; !both {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if e.header[name] != other.header[name] {
			return fmt.Sprintf("%s %q and %q", name, e.header[name], other.header[name])
		}
	}
	if e.sum != other.sum {
		return fmt.Sprintf("content %x and %x", e.sum[:8], other.sum[:8])
	}
	return ""
}
