package imagepack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobStore keeps the blobs of the local registry on disk. The registry reads from it;
// only add writes, and that is reachable from inside this process alone.
type blobStore struct {
	dir    string
	served func(int) // told about every byte that is read
}

var (
	_ registry.BlobHandler     = (*blobStore)(nil)
	_ registry.BlobStatHandler = (*blobStore)(nil)
)

func (b *blobStore) path(h v1.Hash) string { return filepath.Join(b.dir, h.Hex) }

// Stat implements [registry.BlobStatHandler].
func (b *blobStore) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	now, err := stampOf(b.path(h))
	if err != nil {
		return 0, registry.ErrNotFound
	}
	return now.Size, nil
}

// Get implements [registry.BlobHandler].
func (b *blobStore) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	file, _, err := openOurs(b.path(h))
	if err != nil {
		return nil, registry.ErrNotFound
	}
	return &servedBlob{file: file, served: b.served}, nil
}

// servedBlob does not embed the file: its WriteTo would go past the counting.
type servedBlob struct {
	file   *os.File
	served func(int)
}

func (s *servedBlob) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.served(n)
	return n, err
}

// ReadAt serves range requests.
func (s *servedBlob) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.file.ReadAt(p, off)
	s.served(n)
	return n, err
}

func (s *servedBlob) Close() error { return s.file.Close() }

// blob is a layer or a config.
type blob struct {
	hash v1.Hash
	size int64
	open func() (io.ReadCloser, error)
}

// add stores a blob unless it is there and whole, and returns the bytes written.
// A blob that rotted on the disk is replaced.
func (b *blobStore) add(ctx context.Context, tempDir string, add blob, progress func(int)) (int64, error) {
	if b.has(ctx, add) {
		progress(int(add.size))
		return 0, nil
	}
	source, err := add.open()
	if err != nil {
		return 0, fmt.Errorf("opening blob %s: %w", add.hash, err)
	}
	defer func() { _ = source.Close() }()
	file, err := os.CreateTemp(tempDir, "blob-")
	if err != nil {
		return 0, err
	}
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, hash), &ctxReader{ctx: ctx, r: source, read: progress})
	// No fsync: whatever a power cut leaves is hashed before it is used again.
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, fmt.Errorf("storing blob %s: %w", add.hash, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != add.hash.Hex || size != add.size {
		return 0, fmt.Errorf("storing blob %s: the image delivered %d bytes with sha256 %s, not %d", add.hash, size, got, add.size)
	}
	if err := os.Rename(file.Name(), b.path(add.hash)); err == nil {
		return size, nil
	}
	// A directory is in the way. (Removing first would leave a moment without the blob,
	// while another process packs from it.)
	if err := os.RemoveAll(b.path(add.hash)); err != nil {
		return 0, err
	}
	return size, os.Rename(file.Name(), b.path(add.hash))
}

func (b *blobStore) has(ctx context.Context, want blob) bool {
	file, now, err := openOurs(b.path(want.hash))
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	if now.Size != want.size {
		return false
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, &ctxReader{ctx: ctx, r: io.NewSectionReader(file, 0, now.Size)}); err != nil {
		return false
	}
	return hex.EncodeToString(hash.Sum(nil)) == want.hash.Hex
}

// blobsOf lists what an image consists of, apart from its manifest.
func blobsOf(image v1.Image) (blobs []blob, total int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return nil, 0, fmt.Errorf("reading the image's layers: %w", err)
	}
	seen := map[v1.Hash]bool{}
	for _, layer := range layers {
		hash, err := layer.Digest()
		if err != nil {
			return nil, 0, fmt.Errorf("reading a layer's digest: %w", err)
		}
		size, err := layer.Size()
		if err != nil {
			return nil, 0, fmt.Errorf("reading the size of layer %s: %w", hash, err)
		}
		if seen[hash] {
			continue
		}
		seen[hash] = true
		blobs = append(blobs, blob{hash: hash, size: size, open: layer.Compressed})
		total += size
	}
	raw, err := image.RawConfigFile()
	if err != nil {
		return nil, 0, fmt.Errorf("reading the image config: %w", err)
	}
	name, err := image.ConfigName()
	if err != nil {
		return nil, 0, fmt.Errorf("reading the image id: %w", err)
	}
	blobs = append(blobs, blob{hash: name, size: int64(len(raw)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}})
	return blobs, total + int64(len(raw)), nil
}
