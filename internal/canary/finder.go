package canary

import (
	"bytes"
	"encoding/base32"
	"slices"
	"strings"

	"bottle.internal/internal/needle"
)

// MinLength is the shortest canary that can be told from ordinary text.
const MinLength = needle.MinLength

// minFolded is the shortest run of letters and digits that is looked for without its case:
// a shorter one would be found by chance.
const minFolded = 12

// Finder looks for canaries. It is immutable; a nil one finds nothing.
type Finder struct {
	fingerprints []string
	spelled      *needle.Set
	folded       *needle.Set
	texts        [][]byte // what is in spelled
}

// NewFinder prepares every spelling of the values.
func NewFinder(values []string) *Finder {
	f := &Finder{}
	spelled, folded := map[int][]string{}, map[int][]string{}
	for i, value := range values {
		f.fingerprints = append(f.fingerprints, Fingerprint(value))
		spelled[i], folded[i] = Spellings(value), foldings(value)
		for _, text := range spelled[i] {
			f.texts = append(f.texts, []byte(text))
		}
	}
	f.spelled, f.folded = needle.NewSet(spelled), needle.NewSet(folded)
	return f
}

// Empty reports whether there is nothing to find.
func (f *Finder) Empty() bool { return f == nil || f.spelled.Empty() }

// Find looks for a canary in short texts, such as the head of a request. Beside
// [Spellings] it finds one whose case was lost, or that is cut into pieces by dots, dashes
// and the like, as the labels of a host name are.
func (f *Finder) Find(texts ...string) (fingerprint string, found bool) {
	if f.Empty() {
		return "", false
	}
	for _, text := range texts {
		if id, found := f.spelled.Find(text); found {
			return f.fingerprints[id], true
		}
		if id, found := f.folded.Find(fold(text)); found {
			return f.fingerprints[id], true
		}
	}
	return "", false
}

// At looks for [Spellings] in bytes and returns where the first one begins, or -1.
func (f *Finder) At(data []byte) (at int, fingerprint string) {
	if f.Empty() {
		return -1, ""
	}
	scanner := needle.Scanner{Set: f.spelled}
	id, found := scanner.Scan(data)
	if !found {
		return -1, ""
	}
	at = len(data)
	for _, text := range f.texts {
		if i := bytes.Index(data[:min(at+len(text), len(data))], text); i >= 0 {
			at = min(at, i)
		}
	}
	return at, f.fingerprints[id]
}

// Stream looks for [Spellings] in a stream, whatever its pieces are.
type Stream struct {
	finder  *Finder
	scanner needle.Scanner
}

// Stream begins one.
func (f *Finder) Stream() *Stream {
	if f.Empty() {
		return &Stream{}
	}
	return &Stream{f, needle.Scanner{Set: f.spelled}}
}

// Scan reads the next piece and stops at the first canary.
func (s *Stream) Scan(piece []byte) (fingerprint string, found bool) {
	if s.finder == nil {
		return "", false
	}
	id, found := s.scanner.Scan(piece)
	if !found {
		return "", false
	}
	return s.finder.fingerprints[id], true
}

// Spellings are the forms that a canary is looked for in everywhere: those of
// [needle.Spellings] and base32, of the value and of the value backwards.
func Spellings(value string) []string {
	var list []string
	for _, text := range []string{value, backwards(value)} {
		list = append(list, needle.Spellings(text)...)
		for _, digits := range inBase32(text) {
			list = append(list, digits, strings.ToLower(digits))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// foldings are what [Spellings] become in a text without case and punctuation.
func foldings(value string) []string {
	var list []string
	for _, text := range Spellings(value) {
		if folded := fold(text); len(folded) >= minFolded {
			list = append(list, folded)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// fold keeps letters and digits, in lower case.
func fold(text string) string {
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		switch b := text[i]; {
		case b >= 'A' && b <= 'Z':
			out = append(out, b-'A'+'a')
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9':
			out = append(out, b)
		}
	}
	return string(out)
}

// inBase32 is the text in both alphabets, at each of the five places that it can have in a
// longer one, without the digits at both ends that mix with the neighbours' bits.
func inBase32(text string) []string {
	var list []string
	for offset := range 5 {
		padded := append(make([]byte, offset), text...)
		bits := 8 * len(padded)
		for _, alphabet := range []*base32.Encoding{base32.StdEncoding, base32.HexEncoding} {
			digits := alphabet.WithPadding(base32.NoPadding).EncodeToString(padded)
			if digits = digits[(8*offset+4)/5 : bits/5]; len(digits) >= minFolded {
				list = append(list, digits)
			}
		}
	}
	return list
}

func backwards(text string) string {
	data := []byte(text)
	slices.Reverse(data)
	return string(data)
}
