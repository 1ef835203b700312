package smolvm

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// ErrInvalid is wrapped when an option cannot be passed to the tool.
var ErrInvalid = errors.New("invalid option")

func invalid(what, value, why string) error {
	return fmt.Errorf("%w: %s %.80q: %s", ErrInvalid, what, value, why)
}

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
	envKeyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	labelPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
)

// checkName holds the tool's own rule, so that a name cannot be a flag or a path.
func checkName(name string) error {
	if !namePattern.MatchString(name) || strings.HasSuffix(name, "-") || strings.Contains(name, "--") {
		return invalid("machine name", name, "1 to 128 of A-Z, a-z, 0-9, _ and single dashes, a letter or digit first")
	}
	return nil
}

// checkValue refuses what the tool would read as a flag or could not be given at all.
func checkValue(what, value string) error {
	switch {
	case value == "":
		return invalid(what, value, "it is empty")
	case strings.HasPrefix(value, "-"):
		return invalid(what, value, "it begins with a dash")
	}
	return checkBytes(what, value)
}

func checkBytes(what, value string) error {
	if strings.ContainsRune(value, 0) {
		return invalid(what, value, "it has a zero byte")
	}
	return nil
}

// checkGuestPath wants /a/b, without dot segments.
func checkGuestPath(what, value string) error {
	if !path.IsAbs(value) || path.Clean(value) != value {
		return invalid(what, value, "it must be a clean absolute path")
	}
	return checkBytes(what, value)
}

func checkRange(what string, value, low, high int) error {
	if value != 0 && (value < low || value > high) {
		return fmt.Errorf("%w: %s %d: between %d and %d are allowed", ErrInvalid, what, value, low, high)
	}
	return nil
}
