package pushscan

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Bounds of what archives may ask for.
const (
	archiveDepth  = 3
	archiveFiles  = 50_000
	memberSize    = 64 << 20
	decoderWindow = 64 << 20
)

// Blob scans bytes under a name and, when they are an archive or compressed, what is
// inside.
func (s *Scan) Blob(ctx context.Context, path string, data []byte) (*Finding, error) {
	return s.blob(ctx, entry{path, data, 0})
}

type entry struct {
	path  string
	data  []byte
	depth int
}

func (s *Scan) blob(ctx context.Context, e entry) (*Finding, error) {
	found, err := s.Text(ctx, e.path, e.data)
	if found != nil || err != nil {
		return found, err
	}
	open := s.opener(e.data)
	if open == nil {
		return nil, nil //nolint:nilnil // nothing found and nothing wrong
	}
	if e.depth == archiveDepth {
		return nil, fmt.Errorf("%w: archives inside archives, deeper than %d", ErrOpaque, archiveDepth)
	}
	return open(ctx, e)
}

type openFunc func(context.Context, entry) (*Finding, error)

// opener goes by the first bytes, whatever the name says.
func (s *Scan) opener(data []byte) openFunc {
	begins := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	switch {
	case begins("PK\x03\x04"), begins("PK\x05\x06"), hasZipEnd(data):
		return s.zip
	case begins("\x1f\x8b\x08"):
		return s.stream(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
	case begins("BZh") && len(data) > 10 && (string(data[4:10]) == "1AY&SY" || string(data[4:10]) == "\x17\x72\x45\x38\x50\x90"):
		return s.stream(func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil })
	case begins("\xfd7zXZ\x00"):
		return s.stream(func(r io.Reader) (io.Reader, error) {
			return xz.ReaderConfig{DictCap: decoderWindow}.NewReader(r)
		})
	case begins("\x28\xb5\x2f\xfd"):
		return s.stream(openZstd)
	case len(data) > 262 && string(data[257:262]) == "ustar":
		return s.tar
	case begins("7z\xbc\xaf\x27\x1c"), begins("Rar!\x1a\x07"), begins("\x04\x22\x4d\x18"), begins("LZIP\x01"):
		return func(context.Context, entry) (*Finding, error) {
			return nil, fmt.Errorf("%w: an archive of a kind that is not supported", ErrOpaque)
		}
	}
	return nil
}

// hasZipEnd finds archives that hide behind something else, such as a picture.
func hasZipEnd(data []byte) bool {
	tail := data[max(0, len(data)-65557):]
	if !bytes.Contains(tail, []byte("PK\x05\x06")) {
		return false
	}
	_, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	return err == nil
}

func openZstd(r io.Reader) (io.Reader, error) {
	decoder, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(decoderWindow), zstd.WithDecoderMaxWindow(decoderWindow))
	if err != nil {
		return nil, err
	}
	return decoder.IOReadCloser(), nil
}

// stream opens something compressed; what is inside has the same name.
func (s *Scan) stream(open func(io.Reader) (io.Reader, error)) openFunc {
	return func(ctx context.Context, e entry) (*Finding, error) {
		reader, err := open(bytes.NewReader(e.data))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOpaque, err)
		}
		if closer, ok := reader.(io.Closer); ok {
			defer func() { _ = closer.Close() }()
		}
		return s.member(ctx, reader, entry{path: e.path + "!", depth: e.depth + 1})
	}
}

// member reads one member, within the bounds, and scans it.
func (s *Scan) member(ctx context.Context, reader io.Reader, e entry) (*Finding, error) {
	limit := min(memberSize, s.left.Load())
	data, err := io.ReadAll(io.LimitReader(reader, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrOpaque, err)
	case int64(len(data)) > limit, s.left.Add(-int64(len(data))) < 0:
		return nil, ErrTooLarge
	}
	e.data = data
	return s.blob(ctx, e)
}

func (s *Scan) zip(ctx context.Context, e entry) (*Finding, error) {
	archive, err := zip.NewReader(bytes.NewReader(e.data), int64(len(e.data)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	if len(archive.File) > archiveFiles {
		return nil, ErrTooLarge
	}
	for _, file := range archive.File {
		if found, err := s.zipMember(ctx, file, e); found != nil || err != nil {
			return found, err
		}
	}
	if archive.Comment != "" {
		return s.Text(ctx, e.path+"!", []byte(archive.Comment))
	}
	return nil, nil //nolint:nilnil // nothing found and nothing wrong
}

func (s *Scan) zipMember(ctx context.Context, file *zip.File, e entry) (*Finding, error) {
	path := e.path + "!" + file.Name
	if found, err := s.Text(ctx, path, []byte(file.Name+"\n"+file.Comment)); found != nil || err != nil {
		return found, err
	}
	const encrypted = 1
	if file.Flags&encrypted != 0 {
		return nil, fmt.Errorf("%w: an encrypted archive", ErrOpaque)
	}
	reader, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	defer func() { _ = reader.Close() }()
	return s.member(ctx, reader, entry{path: path, depth: e.depth + 1})
}

func (s *Scan) tar(ctx context.Context, e entry) (*Finding, error) {
	archive := tar.NewReader(bytes.NewReader(e.data))
	for range archiveFiles {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // nothing found and nothing wrong
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOpaque, err)
		}
		found, err := s.member(ctx, archive, entry{path: e.path + "!" + header.Name, depth: e.depth + 1})
		if found != nil || err != nil {
			return found, err
		}
	}
	return nil, ErrTooLarge
}
