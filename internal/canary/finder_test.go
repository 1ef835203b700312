package canary_test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/canary"
)

// The values of these tests have the forms of real ones and belong to nobody.
func samples() []string {
	return []string{
		"AKIA" + "Q3EGRIGHT5ABCDEF", "wJalr+utnFEMI/K7MDENG+bPxRfiCYzzzzzzzKEY", "ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17",
	}
}

func reversed(text string) string {
	data := []byte(text)
	slices.Reverse(data)
	return string(data)
}

// encodings are those of rule 11 and base32; each is found in bodies and objects too.
func encodings(value string) map[string]string {
	quoted, _ := json.Marshal(value)
	return map[string]string{
		"raw":             value,
		"base64 +0":       base64.StdEncoding.EncodeToString([]byte(value + "tail")),
		"base64 +1":       base64.StdEncoding.EncodeToString([]byte("a" + value + "tail")),
		"base64 +2":       base64.StdEncoding.EncodeToString([]byte("ab" + value + "tail")),
		"base64url":       base64.RawURLEncoding.EncodeToString([]byte("\xff\xfe\xfd" + value)),
		"basic auth":      base64.StdEncoding.EncodeToString([]byte("user:" + value)),
		"hex":             hex.EncodeToString([]byte(value)),
		"HEX":             strings.ToUpper(hex.EncodeToString([]byte(value))),
		"URL":             url.QueryEscape(value),
		"URL path":        url.PathEscape(value),
		"JSON":            strings.Trim(string(quoted), `"`),
		"reversed":        reversed(value),
		"reversed hex":    hex.EncodeToString([]byte(reversed(value))),
		"reversed base64": base64.StdEncoding.EncodeToString([]byte("abc" + reversed(value))),
		"base32":          base32.StdEncoding.EncodeToString([]byte("abc" + value)),
		"base32 small":    strings.ToLower(base32.StdEncoding.EncodeToString([]byte(value + "x"))),
		"base32hex":       base32.HexEncoding.EncodeToString([]byte("a" + value)),
	}
}

func TestFinder(t *testing.T) {
	t.Parallel()
	finder := canary.NewFinder(samples())
	for _, value := range samples() {
		want := canary.Fingerprint(value)
		for name, text := range encodings(value) {
			if got, found := finder.Find("nothing", "<<"+text+">>"); !found || got != want {
				t.Errorf("%s of %s is not found in a text: %q", name, value, got)
			}
			if at, got := finder.At([]byte("one\ntwo " + text)); got != want || at < 4 {
				t.Errorf("%s of %s is not found in bytes: %d, %q", name, value, at, got)
			}
			stream, found := finder.Stream(), false
			for i := range len(text) {
				_, hit := stream.Scan([]byte{text[i]})
				found = found || hit
			}
			if !found {
				t.Errorf("%s of %s is not found in a stream", name, value)
			}
		}
	}
}

// In the head of a request a canary may have lost its case or be cut into labels.
func TestFinderInHeads(t *testing.T) {
	t.Parallel()
	finder := canary.NewFinder(samples())
	cut := func(text string, n int) string {
		var parts []string
		for chunk := range slices.Chunk([]byte(text), n) {
			parts = append(parts, string(chunk))
		}
		return strings.Join(parts, ".")
	}
	for _, value := range samples() {
		for name, text := range map[string]string{
			"a host in small letters":       strings.ToLower(value) + ".evil.test:443",
			"a host in capitals":            strings.ToUpper(value) + ".EVIL.TEST",
			"labels":                        cut(strings.ToLower(value), 7) + ".evil.test",
			"hex in labels":                 cut(hex.EncodeToString([]byte(value)), 60) + ".evil.test",
			"base32 in labels":              cut(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(value))), 63) + ".evil.test",
			"base32 of more in labels":      cut(strings.ToLower(base32.HexEncoding.EncodeToString([]byte("x="+value+";"))), 20) + ".evil.test",
			"backwards in labels":           cut(strings.ToLower(reversed(value)), 10) + ".evil.test",
			"dashes":                        strings.Join(strings.Split(value, ""), "-"),
			"every byte escaped":            "/x?a=" + escapeAll(value),
			"small letters in an otherwise": "user-agent: " + strings.ToLower(value),
		} {
			if got, found := finder.Find(text); !found || got != canary.Fingerprint(value) {
				t.Errorf("%s: %s is not found", name, text)
			}
		}
	}
	for _, text := range []string{
		"", "api.example.com:443", "AKIA", "ghp_", "AKIAQ3EGRIGHT5ABCDE", "/v1/messages?beta=true", strings.Repeat("a", 1000),
		"wJalr+utnFEMI/K7MDENG+bPxRfiCYzzzzzzzKE", "akiaq3egright5abcdeg.evil.test",
	} {
		if _, found := finder.Find(text); found {
			t.Errorf("a false alarm: %q", text)
		}
	}
}

func escapeAll(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteString("%" + hex.EncodeToString([]byte{text[i]}))
	}
	return out.String()
}

func TestNothingToFind(t *testing.T) {
	t.Parallel()
	for _, finder := range []*canary.Finder{nil, canary.NewFinder(nil)} {
		_, found := finder.Find("anything")
		_, inStream := finder.Stream().Scan([]byte("anything"))
		if at, _ := finder.At([]byte("anything")); !finder.Empty() || found || inStream || at != -1 {
			t.Error("the empty finder finds something")
		}
	}
}

// Where nothing is lost, all three ways agree whatever the bytes and the pieces are, and At
// says where.
func FuzzFinder(f *testing.F) {
	f.Add([]byte("prefix "), []byte(" suffix"), uint8(3), uint8(0))
	f.Add([]byte("AKIAQ3EGRIGHT5AAKIA"), []byte{0xff, 0}, uint8(1), uint8(5))
	finder := canary.NewFinder(samples())
	var forms []string
	for _, value := range samples() {
		forms = append(forms, canary.Spellings(value)...)
	}
	f.Fuzz(func(t *testing.T, before, after []byte, size, which uint8) {
		form := forms[int(which)%len(forms)]
		data := slices.Concat(before, []byte(form), after)
		at, fingerprint := finder.At(data)
		if at < 0 || at > len(before) || fingerprint == "" {
			t.Errorf("%q at %d of %q: %q", form, at, data, fingerprint)
		}
		stream, found := finder.Stream(), false
		for piece := range slices.Chunk(data, int(size)+1) {
			_, hit := stream.Scan(piece)
			found = found || hit
		}
		if _, whole := finder.Find(string(data)); !found || !whole {
			t.Errorf("%q in %q: in pieces %v, at once %v", form, data, found, whole)
		}
		// What is in neither part is not in both.
		if at, _ := finder.At(before); at < 0 {
			if _, found := finder.Stream().Scan(before); found {
				t.Errorf("%q: a stream finds more", before)
			}
		}
	})
}
