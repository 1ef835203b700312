package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"

	"bottle.internal/internal/imagebuild"
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

// supplied are the operator's own programs for the bundle's image. Nothing vouches for
// such a file, so the operator has to name its hash.
func (a *App) supplied() (map[string]imagebuild.SuppliedFile, error) {
	path := a.config.getenv("PIPELOCK_BIN")
	if path == "" {
		return nil, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.config.Dir, path)
	}
	file, err := hashFile(path)
	if err != nil {
		return nil, &Problem{Text: "reading PIPELOCK_BIN", Err: err, Hints: []string{"use the builtin firewall: unset PIPELOCK_BIN"}}
	}
	if want := a.config.getenv("PIPELOCK_SHA256"); want != file.SHA256 {
		return nil, &Problem{
			Text:  fmt.Sprintf("%s has the sha256 %s, and PIPELOCK_SHA256 says %q", path, file.SHA256, want),
			Hints: []string{"if that is the pipelock that you trust: export PIPELOCK_SHA256=" + file.SHA256, "use the builtin firewall: unset PIPELOCK_BIN"},
		}
	}
	return map[string]imagebuild.SuppliedFile{enginePipelock: file}, nil
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
