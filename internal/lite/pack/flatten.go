package pack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// flattener lays the layers of an image over each other. File contents wait in a
// spool, so that every layer is decompressed once and the result can be written in
// the order of the names.
type flattener struct {
	tree  *tree
	spool *os.File
	size  int64
}

// writeImage writes the flattened image as an ext4 file system and returns its size.
func writeImage(ctx context.Context, image v1.Image, stagingDir string, out *os.File) (int64, error) {
	spool, err := os.CreateTemp(stagingDir, ".smolvm-lite-spool-")
	if err != nil {
		return 0, fmt.Errorf("staging the layers: %w", err)
	}
	defer func() { _ = spool.Close() }()
	if err := os.Remove(spool.Name()); err != nil { // a crash leaves nothing
		return 0, fmt.Errorf("staging the layers: %w", err)
	}
	f := &flattener{tree: &tree{root: newDir()}, spool: spool}
	layers, err := image.Layers()
	if err != nil {
		return 0, fmt.Errorf("reading the image: %w", err)
	}
	for i, l := range layers {
		if err := f.addLayer(ctx, l); err != nil {
			return 0, fmt.Errorf("reading layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return f.writeExt4(ctx, out)
}

func (f *flattener) addLayer(ctx context.Context, l v1.Layer) error {
	content, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	reader, target := tar.NewReader(content), f.tree.newLayer()
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			// The digest is checked at the end of the data, which lies behind the archive's.
			_, err = io.Copy(io.Discard, content)
			return err
		}
		if err != nil {
			return err
		}
		offset := f.size
		if header.Typeflag == tar.TypeGNUSparse || header.Typeflag == tar.TypeCont {
			header.Typeflag = tar.TypeReg // the reader fills the holes
		}
		if header.Typeflag == tar.TypeReg {
			n, err := io.Copy(f.spool, reader)
			f.size += n
			if err != nil {
				return err
			}
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := target.add(header, offset); err != nil {
			return err
		}
	}
}

// writeExt4 pipes the tree through an archive, which is what the converter reads.
func (f *flattener) writeExt4(ctx context.Context, out *os.File) (int64, error) {
	read, write := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		archive := tar.NewWriter(write)
		err := f.writeTar(ctx, archive)
		if err == nil {
			err = archive.Close()
		}
		_ = write.CloseWithError(err)
	}()
	err := tar2ext4.ConvertTarToExt4(read, out)
	_ = read.CloseWithError(err)
	<-done
	if err != nil {
		return 0, fmt.Errorf("writing the disk: %w", err)
	}
	return out.Seek(0, io.SeekEnd)
}

func (f *flattener) writeTar(ctx context.Context, archive *tar.Writer) error {
	names := map[*node]string{}
	var walk func(name string, n *node) error
	walk = func(name string, n *node) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := f.writeNode(archive, name, n, names); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, base := range slices.Sorted(maps.Keys(n.children)) {
			if err := walk(path.Join(name, base), n.children[base]); err != nil {
				return err
			}
		}
		return nil
	}
	return walk("", f.tree.root)
}

// writeNode writes a node at its first name, and links to it at every other.
func (f *flattener) writeNode(archive *tar.Writer, name string, n *node, names map[*node]string) error {
	header := &tar.Header{
		Typeflag: n.header.Typeflag, Name: name, Linkname: n.header.Linkname, Size: n.header.Size,
		Mode: n.header.Mode, Uid: n.header.Uid, Gid: n.header.Gid, ModTime: n.header.ModTime,
		Devmajor: n.header.Devmajor, Devminor: n.header.Devminor, Format: tar.FormatPAX,
		// Without these the converter takes the zero time, which ext4 cannot hold.
		AccessTime: n.header.ModTime, ChangeTime: n.header.ModTime, PAXRecords: xattrs(n.header),
	}
	if n.children != nil {
		header.Name = name + "/"
		return archive.WriteHeader(header)
	}
	if first, seen := names[n]; seen {
		return archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeLink, Name: name, Linkname: first, Format: tar.FormatPAX,
		})
	}
	names[n] = name
	if err := archive.WriteHeader(header); err != nil || header.Typeflag != tar.TypeReg {
		return err
	}
	_, err := io.Copy(archive, io.NewSectionReader(f.spool, n.offset, header.Size))
	return err
}

func xattrs(header *tar.Header) map[string]string {
	kept := map[string]string{}
	for key, value := range header.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			kept[key] = value
		}
	}
	return kept
}
