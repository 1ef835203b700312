package app

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bottle.internal/internal/starter"
)

// ManifestPath is where the user's own manifest is, or would be.
func (a *App) ManifestPath() string {
	user := cmp.Or(a.config.Manifest, a.config.getenv("BOTTLE_MANIFEST"), filepath.Join(a.dirs.config, ManifestName))
	if !filepath.IsAbs(user) {
		user = filepath.Join(a.config.Dir, user)
	}
	return user
}

// InitRequest is what a first manifest is made from.
type InitRequest struct {
	starter.Options

	Path  string // "": the user's own manifest
	Force bool   // replace a file that is there
	Again string // the command line that would
}

// Init writes a first manifest and returns where it is. It replaces a file only when it is
// told to, and as a whole: whoever is interrupted has the old one or the new one.
func (a *App) Init(request InitRequest) (string, error) {
	text, err := starter.Manifest(request.Options)
	if err != nil {
		return "", err
	}
	path := cmp.Or(request.Path, a.ManifestPath())
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.config.Dir, path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "", &Problem{Text: path + " is a directory", Hints: []string{"name a file in it, such as " + filepath.Join(path, ManifestName)}}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("making the directory of the manifest: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".bottle-*.toml") // mode 0600
	if err != nil {
		return "", fmt.Errorf("writing the manifest: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("writing the manifest: %w", err)
	}
	if request.Force {
		err = os.Rename(file.Name(), path)
	} else {
		err = os.Link(file.Name(), path) // never replaces
	}
	if errors.Is(err, fs.ErrExist) {
		return "", &Problem{
			Text:  path + " is there already, and is not replaced",
			Hints: []string{request.Again},
		}
	}
	if err != nil {
		return "", fmt.Errorf("writing the manifest: %w", err)
	}
	return path, nil
}
