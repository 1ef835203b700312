// Package imagesign signs what a bottle is started from, and says whether a signature is
// one of a trusted key. Keys and signatures are those of minisign.
//
// Invariants: what is signed is a short text of fixed form, with all of what boots in it
// and what it was made from, so a signature of one image is none of another, nor of the
// same image in another role; only a key that the caller names is trusted; nothing that
// is not a whole signature of exactly that text by such a key passes.
package imagesign

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"aead.dev/minisign"

	"bottle.internal/internal/secret"
)

// The roles of an image.
const (
	Machine = "machine" // the agent's, which a VM boots
	Bundle  = "bundle"  // the sidecars'
)

// Statement is what a signature says: this recipe is this image, and this pack of it.
type Statement struct {
	Role   string // Machine or Bundle
	Recipe string // key of the recipe, hex
	Image  string // digest of the image, sha256:...; of the bundle its id
	Pack   string // sha256 of what the VM tool boots from, hex; empty for the bundle
}

var (
	hex64      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// text is what gets signed.
func (s Statement) text() ([]byte, error) {
	packed := s.Role == Machine && hex64.MatchString(s.Pack)
	bare := s.Role == Bundle && s.Pack == ""
	if !packed && !bare || !hex64.MatchString(s.Recipe) || !digestForm.MatchString(s.Image) {
		return nil, fmt.Errorf("%+v is nothing that can be signed", s)
	}
	return fmt.Appendf(nil, "bottle image 1\nrole %s\nrecipe %s\nimage %s\npack %s\n", s.Role, s.Recipe, s.Image, s.Pack), nil
}

// File is the name of the file that the statement's signature is kept in.
func (s Statement) File() string {
	text, _ := s.text()
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]) + ".minisig"
}

// Keys are the public keys that are trusted.
type Keys []minisign.PublicKey

// ParseKeys reads public keys as minisign writes them, one below the other.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("line %d is no public key of minisign", number+1)
		}
		if !slices.ContainsFunc(keys, func(have minisign.PublicKey) bool { return have.Equal(key) }) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

// Check returns the id of the key that has signed the statement.
func (k Keys) Check(s Statement, signature []byte) (string, error) {
	text, err := s.text()
	if err != nil {
		return "", err
	}
	var signed minisign.Signature
	if err := signed.UnmarshalText(signature); err != nil {
		return "", errors.New("the signature is damaged")
	}
	known := false
	for _, key := range k {
		if key.ID() != signed.KeyID {
			continue
		}
		known = true
		if minisign.Verify(key, text, signature) {
			return name(key.ID()), nil
		}
	}
	if !known {
		return "", fmt.Errorf("the signature is by the key %s, which is not trusted", name(signed.KeyID))
	}
	return "", fmt.Errorf("the signature by the key %s is wrong", name(signed.KeyID))
}

// name is a key's id as minisign prints it.
func name(id uint64) string { return fmt.Sprintf("%016X", id) }

// Signer signs statements.
type Signer struct{ key minisign.PrivateKey }

// NewKey makes a pair of keys as files. An empty passphrase leaves the secret one open.
func NewKey(passphrase secret.Value) (secretKey secret.Value, public []byte, err error) {
	pub, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return secret.Value{}, nil, fmt.Errorf("making a key: %w", err)
	}
	var text []byte
	if passphrase.Reveal() == "" {
		text, err = private.MarshalText()
	} else {
		text, err = minisign.EncryptKey(passphrase.Reveal(), private)
	}
	if err != nil {
		return secret.Value{}, nil, fmt.Errorf("making a key: %w", err)
	}
	public, err = pub.MarshalText()
	return secret.New(string(text) + "\n"), append(public, '\n'), err
}

// Encrypted says whether a secret key needs a passphrase.
func Encrypted(key secret.Value) bool { return minisign.IsEncrypted([]byte(key.Reveal())) }

// Open reads a secret key.
func Open(key, passphrase secret.Value) (*Signer, error) {
	var opened Signer
	var err error
	if text := []byte(strings.TrimSpace(key.Reveal())); Encrypted(key) {
		opened.key, err = minisign.DecryptKey(passphrase.Reveal(), text)
	} else {
		err = opened.key.UnmarshalText(text)
	}
	if err != nil { // its words may hold some of the key
		return nil, errors.New("it is no secret key of minisign, or the passphrase is another one")
	}
	return &opened, nil
}

// Sign returns the statement's signature and the id of the key.
func (s *Signer) Sign(statement Statement) (signature []byte, key string, err error) {
	text, err := statement.text()
	if err != nil {
		return nil, "", err
	}
	comment := "bottle " + statement.Role + " image " + statement.Image
	return minisign.SignWithComments(s.key, text, comment, "signature of bottle"), name(s.key.ID()), nil
}
