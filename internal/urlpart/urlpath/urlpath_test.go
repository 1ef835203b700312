package urlpath_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"bottle.internal/internal/urlpart/urlpath"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"/", "/v1/", "/v1/messages", "/pool/main/g/g%2b%2b_12.2.0-14.deb", "/a%20b", "/b%C3%BCcher", "/~user/x.y",
		"/a:b@c,d=e!$&'()*+", "/...", "/a/..b/.c", "/x-y_z", "/a%3Fb", "/a%23b",
	} {
		if err := urlpath.Check(good); err != nil {
			t.Errorf("Check(%q) = %v", good, err)
		}
	}
	for bad, want := range map[string]urlpath.Problem{
		"":               urlpath.NoSlash,
		"*":              urlpath.NoSlash,
		"v1":             urlpath.NoSlash,
		"//":             urlpath.DoubleSlash,
		"/a//b":          urlpath.DoubleSlash,
		"/.":             urlpath.DotSegment,
		"/a/../b":        urlpath.DotSegment,
		"/a/..":          urlpath.DotSegment,
		`/a\b`:           urlpath.Backslash,
		"/a;b":           urlpath.Semicolon,
		"/a b":           urlpath.Control,
		"/a\x00":         urlpath.Control,
		"/a\nb":          urlpath.Control,
		"/a\x7f":         urlpath.Control,
		"/bücher":        urlpath.Control,
		"/a%":            urlpath.BadEscape,
		"/a%2":           urlpath.BadEscape,
		"/a%zz":          urlpath.BadEscape,
		"/a%2fb":         urlpath.HiddenEscape,
		"/a%5Cb":         urlpath.HiddenEscape,
		"/%2e%2e/b":      urlpath.HiddenEscape,
		"/%252e":         urlpath.HiddenEscape,
		"/a%3bb":         urlpath.HiddenEscape,
		"/a%00":          urlpath.HiddenEscape,
		"/a%0d%0aX:%20y": urlpath.HiddenEscape,
		"/a%7F":          urlpath.HiddenEscape,
		"/%61dmin":       urlpath.NotCanonical,
		"/%7Euser":       urlpath.NotCanonical,
		"/%c0%af":        urlpath.NotUTF8, // an overlong slash
		"/a%ff":          urlpath.NotUTF8,
	} {
		if err := urlpath.Check(bad); err != want {
			t.Errorf("Check(%q) = %v, want %v", bad, err, want)
		}
	}
}

// What passes means the same before and after decoding and cleaning.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"/", "/a%20b", "/%2e%2e", "/a//b", "/%c0%af", "/a;b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if urlpath.Check(text) != nil {
			return
		}
		decoded, err := url.PathUnescape(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if strings.Count(decoded, "/") != strings.Count(text, "/") {
			t.Errorf("%q decodes to more slashes: %q", text, decoded)
		}
		if clean := path.Clean(decoded); clean != decoded && clean+"/" != decoded {
			t.Errorf("%q cleans to %q", text, clean)
		}
	})
}
