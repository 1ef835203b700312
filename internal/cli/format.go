package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"bottle.internal/internal/printable"
)

// format is the --format flag: text for people, json for programs.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

func formatFlag(flags *pflag.FlagSet) *format {
	f := formatText
	flags.Var(&f, "format", "text or json")
	return &f
}

// String implements [pflag.Value].
func (f *format) String() string { return string(*f) }

// Type implements [pflag.Value].
func (f *format) Type() string { return "format" }

// Set implements [pflag.Value].
func (f *format) Set(text string) error {
	switch format(text) {
	case formatText, formatJSON:
		*f = format(text)
		return nil
	default:
		return fmt.Errorf("there is no format %q: text or json", text)
	}
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// writeSafeJSON is writeJSON for values with text from an agent: what a terminal could obey
// is escaped, and means the same to a program.
func writeSafeJSON(w io.Writer, value any) error {
	var text bytes.Buffer
	if err := writeJSON(&text, value); err != nil {
		return err
	}
	if !json.Valid(text.Bytes()) {
		return fmt.Errorf("writing the answer: %T is no JSON", value)
	}
	if _, err := io.WriteString(w, printable.SafeJSON(text.String())); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
