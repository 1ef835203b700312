package leaks

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// Canaries are values that only the bottle knows: whoever sends one is caught. They are
// looked for in clear, reversed, and in hex, base64 of every offset, and URL encoding.
type Canaries struct{ needles [][]byte }

// NewCanaries prepares every spelling of the values.
func NewCanaries(values []string) Canaries {
	var c Canaries
	add := func(text string) {
		if len(text) >= minNeedle {
			c.needles = append(c.needles, []byte(text))
		}
	}
	for _, value := range values {
		reversed := []byte(value)
		slices.Reverse(reversed)
		add(value)
		add(string(reversed))
		for _, text := range []string{value, string(reversed)} {
			add(hex.EncodeToString([]byte(text)))
			add(strings.ToUpper(hex.EncodeToString([]byte(text))))
			for offset := range 3 {
				inner := inside(text, offset)
				add(inner)
				add(strings.NewReplacer("+", "-", "/", "_").Replace(inner))
			}
		}
		if escaped := url.QueryEscape(value); escaped != value {
			add(escaped)
		}
		var all, lower strings.Builder
		for _, b := range []byte(value) {
			code := hex.EncodeToString([]byte{b})
			lower.WriteString("%" + code)
			all.WriteString("%" + strings.ToUpper(code))
		}
		add(all.String())
		add(lower.String())
	}
	return c
}

// minNeedle keeps a short spelling from being found by chance.
const minNeedle = 8

// inside is the part of the base64 of text, at an offset, that no neighbour can change.
func inside(text string, offset int) string {
	padded := append(make([]byte, offset), text...)
	padded = padded[:len(padded)-len(padded)%3]
	encoded := base64.StdEncoding.EncodeToString(padded)
	return encoded[min((offset*8+5)/6, len(encoded)):]
}

// Find returns where the first canary begins in data, or -1.
func (c Canaries) Find(data []byte) int {
	for _, needle := range c.needles {
		if at := bytes.Index(data, needle); at >= 0 {
			return at
		}
	}
	return -1
}
