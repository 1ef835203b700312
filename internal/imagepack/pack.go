package imagepack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/event"
	"bottle.internal/internal/filestamp"
)

// current returns the record of an artifact that can be used, or errMiss. What cannot
// be trusted is removed. The caller holds the pack's lock.
func (s *Store) current(ctx context.Context, want target, held *lock) (record, error) {
	rec, err := s.paths.readRecord(want.key)
	doubt := err
	if err == nil {
		if rec, doubt, err = s.verify(ctx, rec, held); doubt == nil {
			return rec, err
		}
	}
	there := s.paths.leftovers(want.key)
	if len(there) > 0 {
		s.send(ctx, event.Event{Kind: event.Warn, Step: "pack", Text: fmt.Sprintf(
			"%s: not using the cached %.12s, making it again: %s", want.image.Name, want.key, reason(doubt))})
	}
	for _, name := range append(there, want.key+".json") {
		if err := s.paths.remove(name); err != nil {
			return record{}, fmt.Errorf("removing a damaged artifact: %w", err)
		}
	}
	return record{}, errMiss
}

// reason spares the reader the path that follows from a missing record.
func reason(doubt error) string {
	if errors.Is(doubt, fs.ErrNotExist) {
		return "there is no record of it"
	}
	return doubt.Error()
}

// verify trusts an unchanged file and reads a changed one. A doubt is about the file,
// an err is about us: then the file stays.
func (s *Store) verify(ctx context.Context, rec record, held *lock) (_ record, doubt, err error) {
	path := s.paths.artifact(rec)
	file, now, err := openOurs(path)
	if err != nil {
		return rec, err, nil
	}
	defer func() { _ = file.Close() }()
	if now == rec.Stamp {
		return rec, nil, nil
	}
	if now.Size != rec.Size {
		return rec, fmt.Errorf("it has %d bytes, %d were written", now.Size, rec.Size), nil
	}
	s.send(ctx, event.Event{Kind: event.Start, Step: "verify", Text: rec.Name + ": the artifact's file was touched, reading it again"})
	fresh, sum, err := filestamp.Sum(ctx, file, s.meter(ctx, "verify", rec.Size).add)
	s.send(ctx, event.Event{Kind: event.Done, Step: "verify", Text: bytesize.Of(rec.Size) + " read"})
	switch {
	case ctx.Err() != nil:
		return rec, nil, context.Cause(ctx)
	case err != nil:
		return rec, err, nil
	case sum != rec.SHA256:
		return rec, errors.New("its content is not what was written"), nil
	}
	rec.Stamp = fresh
	return rec, nil, held.writeJSON(s.paths.record(rec.Key), rec)
}

// pack makes the artifact of an image, unless it turns up while waiting for the lock.
func (s *Store) pack(ctx context.Context, want target, built v1.Image) (Artifact, error) {
	held, err := s.acquire(ctx, want.image, "pack-"+want.key)
	if err != nil {
		return Artifact{}, err
	}
	defer held.release()
	rec, err := s.current(ctx, want, held)
	if err == nil {
		artifact := s.artifact(want, rec, true)
		s.skip(ctx, artifact, "the image is the same as before")
		return artifact, nil
	}
	if !errors.Is(err, errMiss) {
		return Artifact{}, err
	}
	dir, err := held.tempDir()
	if err != nil {
		return Artifact{}, err
	}
	explained := s.compare(want)
	path, pushed, err := s.makePack(ctx, want, built, dir)
	via := ViaPack
	if errors.Is(err, ErrRegistryRefused) {
		via = ViaArchive
		s.send(ctx, event.Event{Kind: event.Info, Step: "pack", Text: want.image.Name +
			": the VM tool refuses the local registry, writing an archive for it"})
		path, err = s.makeArchive(ctx, want, built, dir)
	}
	if err != nil {
		return Artifact{}, err
	}
	rec, err = s.publish(ctx, want, product{path: path, via: via}, held)
	if err != nil {
		return Artifact{}, err
	}
	s.send(ctx, event.Event{Kind: event.Done, Step: "pack", Text: fmt.Sprintf("%s, %s (%.12s)", want.image.Name, bytesize.Of(rec.Size), rec.Key)})
	artifact := s.artifact(want, rec, false)
	artifact.Pushed, artifact.Explain = pushed, explained
	return artifact, nil
}

// makePack pushes the image and has the tool pack it from the local registry.
func (s *Store) makePack(ctx context.Context, want target, built v1.Image, dir string) (path string, pushed int64, err error) {
	blobs, total, err := blobsOf(built)
	if err != nil {
		return "", 0, err
	}
	packing := s.meter(ctx, "pack", total)
	store := &blobStore{dir: s.paths.blobs, served: packing.add}
	pushed, err = s.push(ctx, store, blobs, pushOptions{image: want.image.Name, total: total, dir: dir})
	if err != nil {
		return "", 0, fmt.Errorf("pushing to the local registry: %w", err)
	}
	tool, version := s.config.Packer.Tool()
	s.send(ctx, event.Event{Kind: event.Start, Step: "pack", Text: fmt.Sprintf("%s, by %s %s", want.image.Name, tool, version)})
	server, err := serve(ctx, store, want.image.Name, built)
	if err != nil {
		return "", 0, err
	}
	defer server.close()
	output := filepath.Join(dir, "image")
	ref := fmt.Sprintf("%s/%s@%s", server.addr, want.image.Name, want.digest)
	if err := s.config.Packer.PackCreate(ctx, ref, output, s.config.Platform, &toolOutput{meter: packing}); err != nil {
		return "", pushed, fmt.Errorf("running %s pack create: %w", tool, err)
	}
	return output + extension(ViaPack), pushed, nil
}

type pushOptions struct {
	image string
	total int64
	dir   string // for temporary files
}

func (s *Store) push(ctx context.Context, store *blobStore, blobs []blob, o pushOptions) (int64, error) {
	s.send(ctx, event.Event{Kind: event.Start, Step: "push", Text: o.image})
	meter := s.meter(ctx, "push", o.total)
	var pushed int64
	for _, blob := range blobs {
		sent, err := store.add(ctx, o.dir, blob, meter.add)
		pushed += sent
		if err != nil {
			return pushed, err
		}
	}
	s.send(ctx, event.Event{Kind: event.Done, Step: "push", Text: fmt.Sprintf(
		"%s: %s sent, %s were there", o.image, bytesize.Of(pushed), bytesize.Of(o.total-pushed))})
	return pushed, nil
}

// makeArchive writes the image in the format of docker save.
func (s *Store) makeArchive(ctx context.Context, want target, built v1.Image, dir string) (string, error) {
	tag, err := imageTag(want.image.Name, want.digest)
	if err != nil {
		return "", err
	}
	size, err := tarball.CalculateSize(map[name.Reference]v1.Image{tag: built})
	if err != nil {
		return "", fmt.Errorf("sizing the archive: %w", err)
	}
	path := filepath.Join(dir, "image"+extension(ViaArchive))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = tarball.Write(tag, built, &ctxWriter{ctx: ctx, w: file, written: s.meter(ctx, "pack", size).add})
	if err := errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("writing the archive: %w", err)
	}
	return path, nil
}

// imageTag is bottle-NAME:<12 hex digits>.
func imageTag(image, digest string) (name.Tag, error) {
	hash, err := v1.NewHash(digest)
	if err != nil {
		return name.Tag{}, fmt.Errorf("reading a digest: %w", err)
	}
	return name.NewTag("bottle-"+image+":"+hash.Hex[:12], name.WithDefaultRegistry(""))
}
