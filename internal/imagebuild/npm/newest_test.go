package npm_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func says(text string) func(http.ResponseWriter, string) bool {
	return func(w http.ResponseWriter, _ string) bool {
		_, _ = fmt.Fprint(w, text)
		return true
	}
}

func described(version string) string {
	return fmt.Sprintf(`{"version":%q,"dist":{"integrity":%q}}`, version, integrity(version))
}

func TestNewest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		suffix  string
		answers []func(http.ResponseWriter, string) bool
		want    string // the package, or part of the error
		asked   string
	}{
		"the latest": {"", []func(http.ResponseWriter, string) bool{says(described("1.3.0"))}, "@a/tool 1.3.0", "/@a/tool/latest"},
		"of a platform": {
			"-linux-x64",
			[]func(http.ResponseWriter, string) bool{says(described("1.3.0")), says(described("1.3.0-linux-x64"))},
			"@a/tool 1.3.0-linux-x64", "/@a/tool/latest\n/@a/tool/1.3.0-linux-x64",
		},
		"not for this platform": {
			"-linux-x64",
			[]func(http.ResponseWriter, string) bool{says(described("1.3.0")), status(404)},
			"asking for npm package @a/tool: not found on ", "/@a/tool/latest\n/@a/tool/1.3.0-linux-x64",
		},
		"a path as a version": {
			"-linux-x64",
			[]func(http.ResponseWriter, string) bool{says(`{"version":"../../evil"}`)},
			`asking for npm package @a/tool: "../../evil" is not a version`, "/@a/tool/latest",
		},
		"an old hash": {
			"",
			[]func(http.ResponseWriter, string) bool{says(`{"version":"1.0.0","dist":{"integrity":"sha1-x"}}`)},
			`asking for npm package @a/tool: integrity "sha1-x" is not sha512- and 88 characters of base64`, "/@a/tool/latest",
		},
		"no json":  {"", []func(http.ResponseWriter, string) bool{says("<html>")}, "the registry's description cannot be read", "/@a/tool/latest"},
		"a denial": {"", []func(http.ResponseWriter, string) bool{status(401)}, "refused: ", "/@a/tool/latest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, "", test.answers...)
			got, err := r.downloader(t).Newest(t.Context(), "@a/tool", test.suffix)
			said := got.String()
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, test.want) || r.requests() != test.asked {
				t.Errorf("got %q (integrity %s), want %q\nasked:\n%s", said, got.Integrity, test.want, r.requests())
			}
			if err == nil && got.Integrity != integrity(got.Version) {
				t.Errorf("the integrity of another version: %+v", got)
			}
		})
	}
}
