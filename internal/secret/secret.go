// Package secret holds values that must not be printed.
//
// A Value redacts itself on every road out of the program that prints: fmt, slog,
// JSON, text. The bytes leave only through Reveal, which is easy to search for.
package secret

import (
	"fmt"
	"log/slog"
)

// Redacted stands where a secret would have been printed.
const Redacted = "[redacted]"

// Value is a secret string. The zero Value is the empty secret.
//
// The text is behind a pointer: fmt cannot call Format on a Value in an unexported field
// of somebody's struct, and prints an address there instead of the secret.
type Value struct{ text *string }

// New wraps text.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the secret itself, for the one place that sends it on.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsEmpty reports whether there is nothing to hide.
func (v Value) IsEmpty() bool { return v.text == nil }

// Format implements [fmt.Formatter], so that no verb prints the secret.
func (v Value) Format(f fmt.State, _ rune) { fmt.Fprint(f, Redacted) }

// String implements [fmt.Stringer].
func (v Value) String() string { return Redacted }

// MarshalText implements [encoding.TextMarshaler]; encoding/json uses it too.
func (v Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements [slog.LogValuer].
func (v Value) LogValue() slog.Value { return slog.StringValue(Redacted) }
