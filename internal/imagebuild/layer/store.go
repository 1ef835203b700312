package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/event"
)

// Format is part of every key of a layer that we compress. It changes when the bytes
// that this package makes of the same entries change, also through a newer compressor.
const Format = "tar1-gzip1-klauspost"

// Store keeps layers in a directory: KEY.layer is the compressed bytes, KEY.json the
// digests and the size. The record is written last, so a layer without it is no layer.
type Store struct {
	Dir    string // holds layers/ and locks/
	Events event.Sink
}

// Layer is a stored layer. Its digests come from the record, not from reading it.
type Layer struct {
	path   string
	record record
}

type record struct {
	Digest    v1.Hash         `json:"digest"`
	DiffID    v1.Hash         `json:"diff_id"`
	Size      int64           `json:"size"`
	MediaType types.MediaType `json:"media_type"`
}

var _ v1.Layer = (*Layer)(nil)

// Digest implements [v1.Layer].
func (l *Layer) Digest() (v1.Hash, error) { return l.record.Digest, nil }

// DiffID implements [v1.Layer].
func (l *Layer) DiffID() (v1.Hash, error) { return l.record.DiffID, nil }

// Size implements [v1.Layer].
func (l *Layer) Size() (int64, error) { return l.record.Size, nil }

// MediaType implements [v1.Layer].
func (l *Layer) MediaType() (types.MediaType, error) { return l.record.MediaType, nil }

// Compressed implements [v1.Layer].
func (l *Layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed implements [v1.Layer].
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	plain, err := partial.CompressedToLayer(l)
	if err != nil {
		return nil, err
	}
	return plain.Uncompressed()
}

// Source says how a layer is made when the store lacks it.
type Source struct {
	Key   string
	Name  string // for people: "claude"
	Total int64  // expected bytes of the tar, 0 if unknown
	Fill  func(context.Context, io.Writer) error
}

// Find returns the layer of a key if it is whole: its size is the recorded one.
func (s *Store) Find(key string) (*Layer, bool) {
	path := s.path(key)
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		return nil, false
	}
	var known record
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&known); err != nil || known.Size <= 0 {
		return nil, false
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != known.Size {
		return nil, false
	}
	return &Layer{path: path, record: known}, true
}

// FromTar returns the layer of source.Key, made of the tar that source.Fill writes.
func (s *Store) FromTar(ctx context.Context, source Source) (*Layer, error) {
	return s.once(ctx, source, func(file io.Writer) (record, error) {
		digest := newCounter(file)
		packed, err := gzip.NewWriterLevel(digest, gzip.BestSpeed)
		if err != nil {
			return record{}, err
		}
		diffID := newCounter(packed)
		diffID.report = s.reporter(ctx, source)
		if err := source.Fill(ctx, diffID); err != nil {
			return record{}, err
		}
		if err := packed.Close(); err != nil {
			return record{}, err
		}
		return record{Digest: digest.sum(), DiffID: diffID.sum(), Size: digest.bytes, MediaType: types.OCILayer}, nil
	})
}

// FromLayer returns a copy of somebody else's layer with its compressed bytes as they
// are, or compressed by us if they are not. Bytes that do not have the digest that the
// layer promises are refused.
func (s *Store) FromLayer(ctx context.Context, source Source, from v1.Layer) (*Layer, error) {
	return s.once(ctx, source, func(file io.Writer) (record, error) {
		want, err := from.Digest()
		if err != nil {
			return record{}, err
		}
		diffID, err := from.DiffID()
		if err != nil {
			return record{}, err
		}
		mediaType, err := from.MediaType()
		if err != nil {
			return record{}, err
		}
		content, err := from.Compressed()
		if err != nil {
			return record{}, err
		}
		defer func() { _ = content.Close() }()
		digest := newCounter(file)
		digest.report = s.reporter(ctx, source)
		if _, err := io.Copy(digest, content); err != nil {
			return record{}, err
		}
		if got := digest.sum(); got != want {
			return record{}, fmt.Errorf("the bytes have the digest %s, the manifest says %s", got, want)
		}
		return record{Digest: want, DiffID: diffID, Size: digest.bytes, MediaType: ociType(mediaType)}, nil
	})
}

// ociType is the OCI name of a Docker layer type: our manifests are OCI ones.
func ociType(mediaType types.MediaType) types.MediaType {
	if mediaType == types.OCILayerZStd {
		return mediaType
	}
	return types.OCILayer
}

// once makes a layer under its lock, unless somebody was faster.
func (s *Store) once(ctx context.Context, source Source, fill func(io.Writer) (record, error)) (*Layer, error) {
	if found, ok := s.Find(source.Key); ok {
		return found, nil
	}
	made, err := s.make(ctx, source, fill)
	if err != nil {
		return nil, fmt.Errorf("making the layer %s: %w", source.Name, err)
	}
	return made, nil
}

func (s *Store) make(ctx context.Context, source Source, fill func(io.Writer) (record, error)) (*Layer, error) {
	unlock, err := diskcache.Lock(ctx, filepath.Join(s.Dir, "locks", "layer-"+source.Key))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, ok := s.Find(source.Key); ok {
		return found, nil
	}
	s.Events.Send(ctx, event.Event{Kind: event.Start, Step: "layer", Part: source.Name, Text: source.Name})
	path := s.path(source.Key)
	if err := errors.Join(diskcache.Sweep(path), diskcache.Sweep(path+".json")); err != nil {
		return nil, err
	}
	var known record
	err = diskcache.WriteFile(path, func(w io.Writer) error {
		known, err = fill(w)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = diskcache.WriteFile(path+".json", func(w io.Writer) error { return json.NewEncoder(w).Encode(known) })
	if err != nil {
		return nil, err
	}
	s.Events.Send(ctx, event.Event{Kind: event.Done, Step: "layer", Part: source.Name, Text: source.Name, Done: known.Size, Total: known.Size})
	return &Layer{path: path, record: known}, nil
}

func (s *Store) path(key string) string { return filepath.Join(s.Dir, "layers", key+".layer") }

// reporter sends progress at most ten times a second, and ends the work when the
// context is done.
func (s *Store) reporter(ctx context.Context, source Source) func(int64) error {
	var last time.Time
	return func(done int64) error {
		if now := time.Now(); now.Sub(last) >= 100*time.Millisecond {
			last = now
			s.Events.Send(ctx, event.Event{Kind: event.Progress, Step: "layer", Part: source.Name, Text: source.Name, Done: done, Total: source.Total})
		}
		return context.Cause(ctx)
	}
}

// counter hashes and counts what passes.
type counter struct {
	to     io.Writer
	hash   hash.Hash
	bytes  int64
	report func(int64) error
}

func newCounter(to io.Writer) *counter {
	return &counter{to: to, hash: sha256.New(), report: func(int64) error { return nil }}
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.hash.Write(p[:n])
	c.bytes += int64(n)
	if err != nil {
		return n, err
	}
	return n, c.report(c.bytes)
}

func (c *counter) sum() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.hash.Sum(nil))}
}
