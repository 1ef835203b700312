// Package canary makes fake credentials that look real, and finds them.
//
// Every launch plants credentials of its own in the guest, where who looks for one looks
// first and what works as it should never does. Nobody else has them: whoever sends one
// read it there.
//
// Invariants: a value comes from crypto/rand and has the form of a real one, checksums
// included, so that an agent cannot tell it from one; it is shown by neither fmt nor
// JSON, and logs know it by its [Fingerprint] alone; no program takes a planted file up
// by itself.
package canary

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"bottle.internal/internal/secret"
)

// Event is the name of a log line about a canary that was found, in every daemon.
const Event = "canary"

// File is a planted file of the agent's.
type File struct {
	Path string // in the guest
	Text secret.Value
}

// Set is what one launch plants.
type Set struct {
	Files  []File
	Values []secret.Value // of all files, each a credential
}

// New makes the credentials of one launch. Files at the paths that are taken are left out:
// the operator's own are never replaced.
func New(random io.Reader, taken ...string) (Set, error) {
	var set Set
	for _, shape := range shapes() {
		if slices.Contains(taken, shape.path) {
			continue
		}
		text, values, err := shape.make(random)
		if err != nil {
			return Set{}, fmt.Errorf("making a canary: %w", err)
		}
		set.Files = append(set.Files, File{shape.path, secret.New(text)})
		for _, value := range values {
			set.Values = append(set.Values, secret.New(value))
		}
	}
	return set, nil
}

// Fingerprint names a value in logs. 64 bits of a hash of something that was drawn from
// far more say nothing about it.
func Fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return "sha256:" + hex.EncodeToString(sum[:8])
}
