package names_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/names"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, want string }{
		{"demo", ""},
		{"a", ""},
		{"claude-2", ""},
		{strings.Repeat("a", 32), ""},
		{"", "invalid name: it is empty"},
		{"..", `invalid name "..": it must begin with a letter from a to z`},
		{"a/../b", `invalid name "a/../b": only a-z, 0-9 and - are allowed`},
		{"A", `invalid name "A": it must begin with a letter from a to z`},
		{"aB", `invalid name "aB": only a-z, 0-9 and - are allowed`},
		{"-a", `invalid name "-a": it must begin with a letter from a to z`},
		{"1a", `invalid name "1a": it must begin with a letter from a to z`},
		{"a-", `invalid name "a-": no trailing and no double dash`},
		{"a--b", `invalid name "a--b": no trailing and no double dash`},
		{"a\x00b", `invalid name "a\x00b": only a-z, 0-9 and - are allowed`},
		{"a\nb", `invalid name "a\nb": only a-z, 0-9 and - are allowed`},
		{"aé", `invalid name "aé": only a-z, 0-9 and - are allowed`},
		{strings.Repeat("a", 200), `invalid name "aaaaaaaaaaaaaaaaaaaa"...: 200 bytes, at most 32 are allowed`},
	} {
		err := names.Validate(test.name)
		if got := text(err); got != test.want {
			t.Errorf("Validate(%q) = %q, want %q", test.name, got, test.want)
		}
		if err != nil && !errors.Is(err, names.ErrInvalid) {
			t.Errorf("Validate(%q) is not ErrInvalid", test.name)
		}
	}
}

func TestNewIdentity(t *testing.T) {
	t.Parallel()
	// 252..255 are drawn again, 35 is z, 36 is 0 again.
	id, err := names.NewIdentity("demo", bytes.NewReader([]byte{255, 252, 0, 35, 36, 251, 10}))
	if err != nil || id != "demo-0z0za" {
		t.Fatalf("NewIdentity = %q, %v", id, err)
	}
	if id.Agent() != "demo" {
		t.Errorf("Agent() = %q", id.Agent())
	}
	if _, err := names.NewIdentity("demo", bytes.NewReader(nil)); err == nil {
		t.Error("no randomness, yet an identity")
	}
	if _, err := names.NewIdentity("../demo", bytes.NewReader(make([]byte, 9))); err == nil {
		t.Error("a bad agent name was accepted")
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, seed := range []string{"demo-x7k2p", "a-b-00000", "../x-00000", "demo-x7k2p/", "demo-X7K2P", "-00000", "demo-x7k2p\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := names.ParseIdentity(text)
		if err != nil {
			return
		}
		if !filepath.IsLocal(text) || filepath.Base(text) != text || strings.HasPrefix(text, ".") {
			t.Errorf("%q was accepted but is no plain path element", text)
		}
		if names.Validate(id.Agent()) != nil {
			t.Errorf("%q has a bad agent %q", text, id.Agent())
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
