package imagepack

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/filestamp"
)

// product is a finished file in the temporary directory.
type product struct {
	path string
	via  string
}

// publish verifies a product, makes it durable and moves it to its place. The record
// comes last: a crash before it leaves a file that nobody will trust.
func (s *Store) publish(ctx context.Context, want target, made product, held *lock) (record, error) {
	file, sealed, sum, err := seal(ctx, made)
	if err != nil {
		return record{}, err
	}
	defer func() { _ = file.Close() }()
	rec := record{
		Format: formatVersion, Key: want.key, Inputs: want.inputs, Image: want.digest, Via: made.via,
		Size: sealed.Size, SHA256: sum, Name: want.image.Name, Recipe: want.image.Key,
		Parts: want.image.Parts, Created: s.config.Now().UTC(),
	}
	if err := os.Rename(made.path, s.paths.artifact(rec)); err != nil {
		return record{}, err
	}
	if err := syncDir(s.paths.packs); err != nil {
		return record{}, err
	}
	// Renaming moved the ctime; everything else must be as it was when it was hashed.
	rec.Stamp, err = filestamp.Settle(ctx, file)
	if err != nil {
		return record{}, err
	}
	sealed.Ctime = rec.Stamp.Ctime
	if sealed != rec.Stamp {
		return record{}, errors.New("the artifact changed while it was moved into the cache")
	}
	if err := held.writeJSON(s.paths.record(rec.Key), rec); err != nil {
		return record{}, fmt.Errorf("recording the artifact: %w", err)
	}
	return rec, nil
}

// seal checks what was made, hashes it and sees it onto the disk.
func seal(ctx context.Context, made product) (*os.File, filestamp.Stamp, string, error) {
	file, err := os.OpenFile(made.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, filestamp.Stamp{}, "", fmt.Errorf("opening what was made: %w", err)
	}
	// The tool's umask is its own: others may neither read nor write.
	now, err := filestamp.Stamp{}, file.Chmod(0o600)
	if err == nil {
		now, err = stampFile(file)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil && made.via == ViaPack {
		if err = checkFooter(file, now.Size); err != nil {
			err = fmt.Errorf("checking the new pack: %w", err)
		}
	}
	if err != nil {
		return nil, filestamp.Stamp{}, "", errors.Join(err, file.Close())
	}
	sealed, sum, err := filestamp.Sum(ctx, file, nil)
	if err != nil {
		return nil, filestamp.Stamp{}, "", errors.Join(err, file.Close())
	}
	return file, sealed, sum, nil
}
