package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
	"bottle.internal/internal/imagesign"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

const (
	// trustedKeys is in the person's own configuration directory, and nowhere else: a
	// repository that is worked on must not say whom to trust.
	trustedKeys = "image-keys.pub"
	// maxSmall bounds keys and signatures.
	maxSmall = 64 << 10
)

func (a *App) keysPath() string          { return filepath.Join(a.dirs.config, trustedKeys) }
func (a *App) signatureDir() string      { return filepath.Join(a.dirs.cache, "signatures") }
func (a *App) digestsPath() string       { return filepath.Join(a.dirs.state, ".digests.json") }
func (a *App) hashed() imagepack.Digests { return imagepack.Digests{Path: a.digestsPath()} }

// imageKeys are the keys that images have to be signed by; nil means that none is
// configured, and nothing is asked. A file that is there and cannot be used is an error:
// whoever wants signatures must not lose them to a typing mistake.
func (a *App) imageKeys() (imagesign.Keys, error) {
	path := a.keysPath()
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	text, err := readOwn(path, 0o022)
	if err == nil {
		var keys imagesign.Keys
		if keys, err = imagesign.ParseKeys(text); err == nil {
			return keys, nil
		}
	}
	return nil, &Problem{Text: "reading the keys that images are signed by, " + path, Err: err, Hints: []string{"chmod go-w " + path + ", or correct what is in it", "or boot without signatures: rm " + path}}
}

// readOwn reads a small file that is ours or root's, and that others have no such right to.
func readOwn(path string, denied fs.FileMode) ([]byte, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to somebody else", path)
	case info.Mode().Perm()&denied != 0:
		return nil, fmt.Errorf("%s has the mode %#o: others have rights to it", path, info.Mode().Perm())
	case info.Size() > maxSmall:
		return nil, fmt.Errorf("%s is too large", path)
	}
	text := make([]byte, info.Size())
	_, err = file.ReadAt(text, 0)
	return text, err
}

// bootable packs the agent image of a plan, and refuses one that is not signed where keys
// are configured.
func (a *App) bootable(ctx context.Context, client *smolvm.Client, tools []string) (launch.Artifact, error) {
	packed, err := a.artifact(ctx, client, tools)
	if err != nil {
		return launch.Artifact{}, err
	}
	job, err := a.agentJob(ctx, tools)
	if err != nil {
		return launch.Artifact{}, err
	}
	err = a.checkPack(ctx, pack{path: packed.Path, recipe: job.Key(), image: packed.ImageDigest, sha256: packed.SHA256})
	return launch.Artifact{
		Path: packed.Path, Archive: packed.Via == imagepack.ViaArchive, Image: packed.ImageDigest, SHA256: packed.SHA256,
	}, err
}

// pack is what a machine boots from, and what is said of it.
type pack struct{ path, recipe, image, sha256 string }

// checkResumable refuses to start a machine again that was made from something unsigned.
func (a *App) checkResumable(ctx context.Context, status state.Status) error {
	return a.checkPack(ctx, pack{path: status.Artifact, recipe: status.ImageKey, image: status.ImageDigest, sha256: status.PackSHA256})
}

// checkPack compares the bytes with what is said of them, and that with the signature. The
// bytes are read when they are new; after that it costs one small file.
func (a *App) checkPack(ctx context.Context, p pack) error {
	keys, err := a.imageKeys()
	if keys == nil || err != nil {
		return err
	}
	sum, err := a.hashed().Of(ctx, p.path)
	if err == nil && sum != p.sha256 {
		err = fmt.Errorf("its bytes have the sha256 %s, and it was packed as %s", sum, p.sha256)
	}
	if err != nil {
		return a.unsigned(imagesign.Machine, err)
	}
	return a.checkSigned(ctx, keys, imagesign.Statement{Role: imagesign.Machine, Recipe: p.recipe, Image: p.image, Pack: sum})
}

// bundleRef loads the sidecars' image, and refuses one that is not signed where keys are
// configured.
func (a *App) bundleRef(ctx context.Context, engine imagepack.Engine) (string, error) {
	loaded, _, err := a.loadBundle(ctx, engine)
	if err != nil {
		return "", err
	}
	keys, err := a.imageKeys()
	if keys == nil || err != nil {
		return loaded.Ref, err
	}
	job, err := a.job(ctx, bundleRecipe, nil)
	if err != nil {
		return "", err
	}
	return loaded.Ref, a.checkSigned(ctx, keys, imagesign.Statement{Role: imagesign.Bundle, Recipe: job.Key(), Image: loaded.Config})
}

func (a *App) checkSigned(ctx context.Context, keys imagesign.Keys, s imagesign.Statement) error {
	signature, err := readOwn(filepath.Join(a.signatureDir(), s.File()), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return a.unsigned(s.Role, errors.New("there is no signature of it"))
	}
	if err != nil {
		return a.unsigned(s.Role, err)
	}
	key, err := keys.Check(s, signature)
	if err != nil {
		return a.unsigned(s.Role, err)
	}
	a.events.Send(ctx, event.Event{Kind: event.Info, Step: "verify", Text: "the " + s.Role + "'s image is signed by the key " + key})
	return nil
}

func (a *App) unsigned(role string, why error) error {
	return &Problem{
		Text: fmt.Sprintf("the %s's image is not signed by a key of %s, so nothing is started from it", role, a.keysPath()), Err: why,
		Hints: []string{"if the images are yours: bottle sign --key KEYFILE AGENT", "or boot without signatures: rm " + a.keysPath()},
	}
}
