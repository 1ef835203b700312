package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"bottle.internal/internal/secret"
)

const (
	keyBlock   = "PRIVATE KEY" // PKCS #8, which other tools read too
	maxKeyFile = 4 << 10
)

// Key signs the heads of all logs of one host.
type Key struct {
	seed   secret.Value
	public ed25519.PublicKey
}

// LoadKey reads the host's key, and makes it at its first use: mode 0600, in a directory
// of mode 0700 that is no part of a bottle. Random is [crypto/rand.Reader] outside tests.
func LoadKey(path string, random io.Reader) (Key, error) {
	key, err := ReadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKey(path, random); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("making the audit key: %w", err)
	}
	return ReadKey(path) // ours, or of a process that was faster
}

// ReadKey reads the host's key; [fs.ErrNotExist] when there is none yet.
func ReadKey(path string) (Key, error) {
	seed, err := readSeed(path)
	if err != nil {
		return Key{}, fmt.Errorf("reading the audit key: %w", err)
	}
	return newKey(seed), nil
}

func newKey(seed []byte) Key {
	public := make(ed25519.PublicKey, ed25519.PublicKeySize)
	copy(public, ed25519.NewKeyFromSeed(seed)[ed25519.SeedSize:])
	return Key{seed: secret.New(string(seed)), public: public}
}

// Public is the half that verifies.
func (k Key) Public() ed25519.PublicKey { return k.public }

// Format implements [fmt.Formatter]: the key shows which one it is, and nothing else.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "audit key "+Fingerprint(k.public))
}

// MarshalText implements [encoding.TextMarshaler]; encoding/json uses it too.
func (k Key) MarshalText() ([]byte, error) {
	return []byte("audit key " + Fingerprint(k.public)), nil
}

func (k Key) sign(message []byte) string {
	signature := ed25519.Sign(ed25519.NewKeyFromSeed([]byte(k.seed.Reveal())), message)
	return base64.StdEncoding.EncodeToString(signature)
}

// Fingerprint names a public key: the first 16 hexadecimal digits of its SHA-256.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// readSeed reads the key only where nobody else could have put it or seen it.
func readSeed(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || int(stat.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is no regular file of ours", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to others (mode %04o): a key that others know signs nothing", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != keyBlock || len(rest) > 0 {
		return nil, fmt.Errorf("%s is no private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if private, ok := parsed.(ed25519.PrivateKey); err == nil && ok {
		return private.Seed(), nil
	}
	return nil, fmt.Errorf("%s is no ed25519 key", path)
}

// makeKey writes a new key under another name and links it into place: there is never
// half a key at path, and never a second one over the first.
func makeKey(path string, random io.Reader) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return err
	}
	name := path + ".new-" + rand.Text()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(name)) }()
	written := pem.Encode(file, &pem.Block{Type: keyBlock, Bytes: der})
	if err := errors.Join(written, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Link(name, path)
}
