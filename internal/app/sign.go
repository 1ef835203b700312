package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/imagesign"
	"bottle.internal/internal/secret"
)

// Signed is one signature that was made.
type Signed struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // of the image
	Key    string `json:"key"`    // id of the key
	Path   string `json:"path"`   // of the signature
}

// Sign builds and packs the images of agents, as [App.Images] does, and signs them and the
// bundle's. It needs no container engine.
func (a *App) Sign(ctx context.Context, keyFile string, agents []string) ([]Signed, error) {
	signer, err := a.signer(ctx, keyFile)
	if err != nil {
		return nil, err
	}
	sets, err := a.toolsOf(agents)
	if err != nil {
		return nil, err
	}
	client, err := a.vmTool(ctx)
	if err != nil {
		return nil, err
	}
	var all []Signed
	sign := func(name string, s imagesign.Statement) error {
		signed, err := a.sign(signer, s)
		signed.Name = name
		all = append(all, signed)
		return err
	}
	for _, tools := range sets {
		packed, err := a.artifact(ctx, client, tools)
		if err != nil {
			return nil, err
		}
		job, err := a.agentJob(ctx, tools)
		if err != nil {
			return nil, err
		}
		// What is signed is what is there, not what a record says.
		sum, err := a.hashed().Of(ctx, packed.Path)
		if err == nil && sum != packed.SHA256 {
			err = fmt.Errorf("%s is not what was packed\nbottle clean", packed.Path)
		}
		if err == nil {
			err = sign(imageName(tools), imagesign.Statement{Role: imagesign.Machine, Recipe: job.Key(), Image: packed.ImageDigest, Pack: sum})
		}
		if err != nil {
			return nil, err
		}
	}
	job, err := a.job(ctx, bundleRecipe, nil)
	if err != nil {
		return nil, err
	}
	bundle, err := a.store(nil).Identify(ctx, a.image(bundleRecipe, job))
	if err != nil {
		return nil, err
	}
	err = sign(bundleRecipe, imagesign.Statement{Role: imagesign.Bundle, Recipe: job.Key(), Image: bundle.Config})
	return all, err
}

func (a *App) sign(signer *imagesign.Signer, s imagesign.Statement) (Signed, error) {
	signature, key, err := signer.Sign(s)
	if err != nil {
		return Signed{}, err
	}
	path := filepath.Join(a.signatureDir(), s.File())
	err = diskcache.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(signature)
		return err
	})
	if err != nil {
		return Signed{}, fmt.Errorf("writing a signature: %w", err)
	}
	return Signed{Digest: s.Image, Key: key, Path: path}, nil
}

// signer opens a secret key, which nobody else may read.
func (a *App) signer(ctx context.Context, path string) (*imagesign.Signer, error) {
	path = a.hostPath(path)
	text, err := readOwn(path, 0o077)
	if err != nil {
		return nil, &Problem{Text: "reading the key to sign with", Err: err, Hints: []string{"chmod 600 " + path, "or make a new one: bottle sign --new-key " + path}}
	}
	key, passphrase := secret.New(string(text)), secret.Value{}
	if imagesign.Encrypted(key) {
		if passphrase, err = a.config.Ask(ctx, "the passphrase of "+path); err != nil {
			return nil, err
		}
	}
	signer, err := imagesign.Open(key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", path, err)
	}
	return signer, nil
}

// NewKey makes a key to sign with, and the public one beside it, whose path it returns with
// the one where it would be trusted. It replaces nothing.
func (a *App) NewKey(ctx context.Context, path string, open bool) (public, trusted string, err error) {
	path = a.hostPath(path)
	var passphrase secret.Value
	if !open {
		if passphrase, err = a.newPassphrase(ctx); err != nil {
			return "", "", err
		}
	}
	key, pub, err := imagesign.NewKey(passphrase)
	if err != nil {
		return "", "", err
	}
	if err := writeNew(path, []byte(key.Reveal()), 0o600); err != nil {
		return "", "", err
	}
	return path + ".pub", a.keysPath(), writeNew(path+".pub", pub, 0o644)
}

func (a *App) newPassphrase(ctx context.Context) (secret.Value, error) {
	first, err := a.config.Ask(ctx, "a passphrase for the key")
	if err != nil {
		return secret.Value{}, err
	}
	again, err := a.config.Ask(ctx, "the same once more")
	switch {
	case err != nil:
		return secret.Value{}, err
	case first.Reveal() != again.Reveal():
		return secret.Value{}, errors.New("these are two different passphrases")
	case first.Reveal() == "":
		return secret.Value{}, &Problem{Text: "the passphrase is empty", Hints: []string{"for a key without one: --no-passphrase"}}
	}
	return first, nil
}

func writeNew(path string, text []byte, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
