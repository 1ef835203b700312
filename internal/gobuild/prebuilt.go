package gobuild

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"bottle.internal/internal/diskcache"
)

// CanBuild reports whether there is anything to make programs from.
func (b *Builder) CanBuild() bool { return b.Root != "" || b.Prebuilt != nil }

// unpack takes a program that the release carries. Its key is the bytes that are carried,
// so another release never takes an older one's program for its own.
func (b *Builder) unpack(ctx context.Context, target Target) (Program, error) {
	if b.Prebuilt == nil {
		return Program{}, ErrNoSource
	}
	packed, err := fs.ReadFile(b.Prebuilt, path.Base(target.Package)+".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return Program{}, errors.New("this release does not carry it")
	}
	if err != nil {
		return Program{}, err
	}
	sum := sha256.Sum256(packed)
	key := "release-" + hex.EncodeToString(sum[:])
	place := filepath.Join(b.CacheDir, "programs", key, target.Name)
	if program, ok := cached(place); ok {
		return program, nil
	}
	unlock, err := diskcache.Lock(ctx, filepath.Join(b.CacheDir, "locks", "program-"+key))
	if err != nil {
		return Program{}, err
	}
	defer unlock()
	if program, ok := cached(place); ok {
		return program, nil
	}
	return write(packed, place)
}

func write(packed []byte, place string) (Program, error) {
	if err := errors.Join(os.MkdirAll(filepath.Dir(place), 0o755), diskcache.Sweep(place)); err != nil {
		return Program{}, diskcache.Explain(err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(place), filepath.Base(place)+".tmp-*")
	if err != nil {
		return Program{}, diskcache.Explain(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	output := filepath.Join(scratch, filepath.Base(place))
	if err := inflate(packed, output); err != nil {
		return Program{}, fmt.Errorf("unpacking it: %w", err)
	}
	return adopt(output, place)
}

func inflate(packed []byte, output string) (err error) {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	file, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, plain)
	return err
}
