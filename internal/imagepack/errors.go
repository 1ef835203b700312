package imagepack

import (
	"errors"
	"strings"
	"syscall"
)

// ErrRegistryRefused is what a [Packer] returns, wrapped or not, when its tool cannot
// or will not pull from a registry on the host's loopback.
var ErrRegistryRefused = errors.New("the VM tool refuses a registry on the loopback")

// errMiss says that there is no artifact to use.
var errMiss = errors.New("not in the cache")

// NoSpaceError is a full disk.
type NoSpaceError struct {
	Where string // whose disk: a directory, or the engine
	Hint  string // what to type
	Err   error
}

func (e *NoSpaceError) Error() string { return "no space left on the disk of " + e.Where }

// HintLines says what to do next.
func (e *NoSpaceError) HintLines() []string { return []string{e.Hint} }

func (e *NoSpaceError) Unwrap() error { return e.Err }

// cacheError is a cache directory that cannot be trusted.
type cacheError struct{ text, hint string }

func (e *cacheError) Error() string       { return e.text }
func (e *cacheError) HintLines() []string { return []string{e.hint} }

// explainNoSpace replaces whatever a full disk caused, deep inside or in the words of
// a program, by the one line that helps.
func explainNoSpace(err error, cacheDir string) error {
	var already *NoSpaceError
	if errors.As(err, &already) || !isNoSpace(err) {
		return err
	}
	return &NoSpaceError{
		Where: cacheDir, Err: err,
		Hint: "free some space, or drop what can be made again: rm -r " + shellQuote(newPaths(cacheDir).packs),
	}
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(strings.ToLower(err.Error()), "no space left on device")
}

func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
