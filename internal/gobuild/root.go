package gobuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// modulePath is how our own source tree is recognised.
const modulePath = "bottle.internal"

// ErrNoSource is returned by FindRoot when no parent directory is our module.
var ErrNoSource = errors.New("the source of bottle was not found")

// FindRoot returns the directory of our module's go.mod: start or one of its parents.
func FindRoot(start string) (string, error) {
	dir, err := filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("finding the source of bottle: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil && declaresUs(string(text)):
			return dir, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("finding the source of bottle: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w in %s or above it\nset BOTTLE_SOURCE to the directory that holds its go.mod", ErrNoSource, start)
		}
		dir = parent
	}
}

func declaresUs(gomod string) bool {
	for line := range strings.Lines(gomod) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`) == modulePath
		}
	}
	return false
}
