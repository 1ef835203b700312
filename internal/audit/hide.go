package audit

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"bottle.internal/internal/printable"
	"bottle.internal/internal/secret"
)

const (
	// minHidden is the shortest text that is hidden as it is, minEncoded the shortest that
	// is hidden in its encodings: what is shorter is everywhere.
	minHidden  = 4
	minEncoded = 8
	// minPart is the shortest line of a secret of many lines that is hidden by itself.
	minPart = 16
)

// hider replaces secrets. It works on the strings of a record and not on its encoding:
// no secret can break the JSON, and none is missed because JSON spells it differently.
type hider struct {
	values   []secret.Value
	replacer *strings.Replacer
}

func newHider(values []secret.Value) *hider {
	var forms []string
	for _, value := range values {
		text := value.Reveal()
		forms = append(forms, formsOf(text)...)
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line != text && len(line) >= minPart {
				forms = append(forms, formsOf(line)...)
			}
		}
	}
	// The longest first: the replacer takes the first that fits, and a short secret may
	// begin a long one.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, secret.Redacted)
	}
	return &hider{values: values, replacer: strings.NewReplacer(pairs...)}
}

// formsOf lists how a secret can be spelled in a log.
func formsOf(text string) []string {
	if len(text) < minHidden {
		return nil
	}
	forms := []string{text}
	if quoted, err := json.Marshal(text); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text)} {
		forms = append(forms, escaped, lowerEscapes(escaped))
	}
	encoded := hex.EncodeToString([]byte(text))
	forms = append(forms, encoded, strings.ToUpper(encoded))
	for offset := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if core := base64Core(encoding, text, offset); len(core) >= minEncoded {
				forms = append(forms, core)
			}
		}
	}
	return forms
}

// base64Core is the part of an encoding that depends on text alone, when offset bytes are
// in front of it in its group of three and anything may follow.
func base64Core(encoding *base64.Encoding, text string, offset int) string {
	bits := 8 * (offset + len(text))
	encoded := encoding.EncodeToString(append(make([]byte, offset), text...))
	first := (8*offset + 5) / 6
	return encoded[min(first, bits/6) : bits/6]
}

// lowerEscapes turns %2F into %2f.
func lowerEscapes(text string) string {
	out := []byte(text)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], strings.ToLower(string(out[i+1:i+3])))
		}
	}
	return string(out)
}

func (h *hider) text(text string) string { return h.replacer.Replace(text) }

// object cleans every name and string in place and returns it.
func (h *hider) object(object map[string]any) map[string]any {
	clean := make(map[string]any, len(object))
	for name, value := range object {
		clean[printable.SafeText(h.text(name))] = h.value(value)
	}
	return clean
}

func (h *hider) value(value any) any {
	switch v := value.(type) {
	case string:
		return printable.SafeText(h.text(v))
	case json.Number:
		if shown := h.text(string(v)); shown != string(v) {
			return shown // a secret of digits
		}
	case []any:
		for i := range v {
			v[i] = h.value(v[i])
		}
	case map[string]any:
		return h.object(v)
	}
	return value
}
