package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Decode decodes one JSON object strictly into a pointer to a struct: no bad UTF-8, no
// unknown key, no key twice or in other capitals (encoding/json takes the last of them), and
// nothing behind it. Doubled keys are looked for in the object itself, not in its values.
func Decode(raw []byte, into any) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	if err := checkKeys(raw, keysOf(into)); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("it is not understood: %w", plainJSON(err))
	}
	return nil
}

// plainJSON leaves the Go type out of a decoder's message.
func plainJSON(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s may not be a %s", wrong.Field, wrong.Value)
	}
	return err
}

// keysOf are the keys of a struct.
func keysOf(pointer any) map[string]bool {
	keys := map[string]bool{}
	for field := range reflect.TypeOf(pointer).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		keys[name] = true
	}
	return keys
}

func checkKeys(raw []byte, known map[string]bool) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		key, _ := token.(string)
		switch {
		case !known[key]:
			return fmt.Errorf("unknown field %.40q", key)
		case seen[key]:
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}
