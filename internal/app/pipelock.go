package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/lockfile"
)

// The firewall's engines.
const (
	engineBuiltin  = "builtin"
	enginePipelock = "pipelock"
)

// firewallEngine is pipelock where the operator supplies it.
func (a *App) firewallEngine() string {
	if a.config.getenv("PIPELOCK_BIN") != "" {
		return enginePipelock
	}
	return engineBuiltin
}

// supplied are the operator's own programs for the bundle's image.
func (a *App) supplied() (map[string]imagebuild.SuppliedFile, error) {
	if a.firewallEngine() == engineBuiltin {
		return nil, nil
	}
	lock, err := a.readLock()
	if err != nil {
		return nil, err
	}
	pinned := ""
	if lock.Pipelock != nil {
		pinned = lock.Pipelock.SHA256
	}
	file, err := a.namedPipelock(pinned)
	if err != nil {
		return nil, err
	}
	if pinned != "" && pinned != file.SHA256 {
		return nil, &Problem{
			Text:  fmt.Sprintf("%s has the sha256 %s, and %s pins %s", file.Path, file.SHA256, lockfile.Name, pinned),
			Hints: []string{"if that is the pipelock that you trust: go tool mage update", useBuiltin},
		}
	}
	return map[string]imagebuild.SuppliedFile{enginePipelock: file}, nil
}

const useBuiltin = "use the builtin firewall: unset PIPELOCK_BIN"

// namedPipelock is the operator's pipelock; without one its path is empty. Nothing vouches
// for such a file, so the operator has to name its hash, now or in what bottle.lock pins.
func (a *App) namedPipelock(pinned string) (imagebuild.SuppliedFile, error) {
	path := a.config.getenv("PIPELOCK_BIN")
	if path == "" {
		return imagebuild.SuppliedFile{}, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.config.Dir, path)
	}
	file, err := hashFile(path)
	if err != nil {
		return imagebuild.SuppliedFile{}, &Problem{Text: "reading PIPELOCK_BIN", Err: err, Hints: []string{useBuiltin}}
	}
	says := "PIPELOCK_SHA256"
	if a.config.getenv(says) == "" && pinned != "" {
		says = lockfile.Name
	}
	if want := cmp.Or(a.config.getenv("PIPELOCK_SHA256"), pinned); want != file.SHA256 {
		return imagebuild.SuppliedFile{}, &Problem{
			Text:  fmt.Sprintf("%s has the sha256 %s, and %s says %q", path, file.SHA256, says, want),
			Hints: []string{"if that is the pipelock that you trust: export PIPELOCK_SHA256=" + file.SHA256, useBuiltin},
		}
	}
	return file, nil
}

func hashFile(path string) (imagebuild.SuppliedFile, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return imagebuild.SuppliedFile{}, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return imagebuild.SuppliedFile{}, err
	}
	return imagebuild.SuppliedFile{Path: path, Size: info.Size(), SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}
