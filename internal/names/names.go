// Package names holds the one rule for everything that becomes a path, a label or
// a resource name: agents, bottles, remotes, skills, and the identity of a bottle. A name that
// passed is safe as a file name, a DNS label and an argument, and cannot be taken for a flag.
package names

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// MaxLen bounds a name so that socket paths and DNS labels built from it fit.
const MaxLen = 32

// suffixLen is the number of random base36 characters in an identity.
const suffixLen = 5

const base36 = "0123456789abcdefghijklmnopqrstuvwxyz"

// ErrInvalid is wrapped by every refusal of this package.
var ErrInvalid = errors.New("invalid name")

// Validate accepts ^[a-z][a-z0-9-]*$ of at most MaxLen bytes, without a trailing or
// double dash (the VM tool refuses those).
func Validate(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalid)
	case len(name) > MaxLen:
		return fmt.Errorf("%w %.20q...: %d bytes, at most %d are allowed", ErrInvalid, name, len(name), MaxLen)
	case name[0] < 'a' || name[0] > 'z':
		return fmt.Errorf("%w %q: it must begin with a letter from a to z", ErrInvalid, name)
	}
	for _, r := range name {
		if !strings.ContainsRune(base36+"-", r) {
			return fmt.Errorf("%w %q: only a-z, 0-9 and - are allowed", ErrInvalid, name)
		}
	}
	if strings.HasSuffix(name, "-") || strings.Contains(name, "--") {
		return fmt.Errorf("%w %q: no trailing and no double dash", ErrInvalid, name)
	}
	return nil
}

// Identity names one bottle: its agent and a random suffix, such as "demo-x7k2p".
type Identity string

var identityPattern = regexp.MustCompile(`^([a-z][a-z0-9-]*)-([0-9a-z]{5})$`)

// NewIdentity draws a suffix from random, which is [crypto/rand.Reader] outside tests.
func NewIdentity(agent string, random io.Reader) (Identity, error) {
	if err := Validate(agent); err != nil {
		return "", err
	}
	suffix := make([]byte, 0, suffixLen)
	var one [1]byte
	for len(suffix) < suffixLen {
		if _, err := io.ReadFull(random, one[:]); err != nil {
			return "", fmt.Errorf("drawing an identity: %w", err)
		}
		// 252 is the largest multiple of 36 in a byte: above it the draw would be biased.
		if one[0] < 252 {
			suffix = append(suffix, base36[one[0]%36])
		}
	}
	return Identity(agent + "-" + string(suffix)), nil
}

// ParseIdentity checks a name that came from a label, a directory or a command line.
func ParseIdentity(text string) (Identity, error) {
	parts := identityPattern.FindStringSubmatch(text)
	if len(parts) < 2 || Validate(parts[1]) != nil {
		return "", fmt.Errorf("%w %.40q: an identity looks like demo-x7k2p", ErrInvalid, text)
	}
	return Identity(text), nil
}

// Agent is the identity without its suffix.
func (id Identity) Agent() string {
	if len(id) <= suffixLen+1 {
		return ""
	}
	return string(id[:len(id)-suffixLen-1])
}
