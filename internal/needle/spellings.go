package needle

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// MinLength is the shortest secret that can be told from ordinary text in every spelling.
const MinLength = 8

// Spellings are the forms that a secret is looked for in: as it is, base64 at each of the
// three places it can have in a longer text (both alphabets), hexadecimal, escaped as in
// URLs and in JSON, and each of the first backwards. Other transformations are not seen.
func Spellings(secret string) []string {
	if secret == "" {
		return nil
	}
	list := []string{secret, backwards(secret)}
	list = append(list, inBase64(secret)...)
	digits := hex.EncodeToString([]byte(secret))
	list = append(list, digits, strings.ToUpper(digits))
	for _, escaped := range []string{url.QueryEscape(secret), url.PathEscape(secret), escapeAll(secret)} {
		list = append(list, escaped, lowerEscapes(escaped))
	}
	list = append(list, inJSON(secret)...)
	slices.Sort(list)
	return slices.Compact(list)
}

// inBase64 drops the digits at both ends that mix with the neighbours' bits.
func inBase64(secret string) []string {
	var list []string
	for offset := range 3 {
		padded := append(make([]byte, offset), secret...)
		whole := len(padded) / 3 * 3
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := alphabet.EncodeToString(padded[:whole])
			if offset > 0 {
				text = text[4:]
			}
			if len(text) >= MinLength {
				list = append(list, text)
			}
		}
	}
	return list
}

func inJSON(secret string) []string {
	var list []string
	quoted, err := json.Marshal(secret)
	if err == nil {
		list = append(list, strings.Trim(string(quoted), `"`))
	}
	return append(list, strings.ReplaceAll(secret, "/", `\/`))
}

func backwards(text string) string {
	data := []byte(text)
	slices.Reverse(data)
	return string(data)
}

func escapeAll(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{text[i]})))
	}
	return out.String()
}

// lowerEscapes writes %2F as %2f and leaves the rest.
func lowerEscapes(text string) string {
	data := []byte(text)
	for i := 0; i+2 < len(data); i++ {
		if data[i] == '%' {
			copy(data[i+1:], strings.ToLower(string(data[i+1:i+3])))
			i += 2
		}
	}
	return string(data)
}
