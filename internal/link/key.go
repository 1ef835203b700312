package link

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"bottle.internal/internal/secret"
)

// KeySize is the length of a link key in bytes.
const KeySize = 32

// Key is the secret of one bottle's link. It redacts itself wherever it is printed; the
// zero Key is no key and opens nothing.
type Key struct {
	// A pointer, because fmt prints unexported fields of other structs without asking
	// their methods: behind a pointer it prints an address instead of the key.
	bytes *[KeySize]byte
}

// NewKey draws a key from random, which is [crypto/rand.Reader] outside tests.
func NewKey(random io.Reader) (Key, error) {
	var b [KeySize]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Key{}, fmt.Errorf("drawing a link key: %w", err)
	}
	return ParseKey(b[:])
}

// ParseKey makes a key of the KeySize bytes that Reveal gave.
func ParseKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("a link key has %d bytes, not %d", KeySize, len(b))
	}
	array := [KeySize]byte(b)
	if array == [KeySize]byte{} {
		return Key{}, errors.New("a link key of zeros is no key")
	}
	return Key{bytes: &array}, nil
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.bytes == nil }

// Reveal returns a copy of the key's bytes, for the one place that sends it on.
func (k Key) Reveal() []byte {
	if k.bytes == nil {
		return nil
	}
	return append([]byte(nil), k.bytes[:]...)
}

// Format implements [fmt.Formatter], so that no verb prints the key.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// String implements [fmt.Stringer].
func (k Key) String() string { return secret.Redacted }

// MarshalText implements [encoding.TextMarshaler]; encoding/json uses it too.
func (k Key) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// LogValue implements [slog.LogValuer].
func (k Key) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }
