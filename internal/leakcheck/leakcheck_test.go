package leakcheck_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bottle.internal/internal/leakcheck"
	"bottle.internal/internal/secret"
)

const (
	token   = "tok/en+4711?abc"
	control = "the marker"
)

func search(t *testing.T) *leakcheck.Search {
	t.Helper()
	s, err := leakcheck.New([]leakcheck.Secret{{Name: "env:TOKEN", Value: secret.New(token)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		err        error
		want       string
	}{
		{"clean", "a the marker b", nil, "clean"},
		{"nothing was seen", "a b", nil, "uncontrolled: what must be there was not found either"},
		{"not everything was seen", "the marker", errors.New("no space"), "uncontrolled: no space"},
		{"raw", "x" + token + "x the marker", nil, "LEAK: env:TOKEN"},
		{"without a control", token, errors.New("no space"), "LEAK: env:TOKEN"},
		{"base64", base64.StdEncoding.EncodeToString([]byte("12" + token)), nil, "LEAK: env:TOKEN"},
		{"hex", hex.EncodeToString([]byte(token)), nil, "LEAK: env:TOKEN"},
		{"in a URL", url.QueryEscape(token), nil, "LEAK: env:TOKEN"},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			w := search(t).Writer("somewhere", control)
			for rest := test.text; rest != ""; {
				n := min(size, len(rest))
				_, _ = w.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			if got := w.Result(test.err).Verdict(); got != test.want {
				t.Errorf("%s, in pieces of %d: %q, want %q", test.name, size, got, test.want)
			}
		}
	}
}

func TestShortSecretsAreNamed(t *testing.T) {
	t.Parallel()
	s, err := leakcheck.New([]leakcheck.Secret{{Name: "env:PIN", Value: secret.New("1234")}})
	if fmt.Sprint(err) != "env:PIN is too short to be looked for" || s.Secrets() != 0 {
		t.Errorf("New: %v, %d secrets", err, s.Secrets())
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, at int64) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	write("a/marked", control, 0)
	if got := search(t).Files("dir", dir, control, 1<<30); got.Verdict() != "clean" {
		t.Errorf("clean: %+v", got)
	}
	write("b/disk", token, 5<<30) // behind a hole that takes long to read
	got := search(t).Files("dir", dir, control, 1<<30)
	if got.Verdict() != "LEAK: env:TOKEN" || got.Bytes > 1<<20 {
		t.Errorf("behind a hole: %+v", got)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(links, "link")); err != nil {
		t.Fatal(err)
	}
	if got := search(t).Files("links", links, control, 1<<30); got.Leak != "" {
		t.Errorf("a link was followed: %+v", got)
	}
	write("c/big", strings.Repeat("x", 3<<20), 0)
	if got := search(t).Files("dir", filepath.Join(dir, "c"), control, 1<<20); got.Verdict() != "uncontrolled: only the first 1 MiB were searched" {
		t.Errorf("over the limit: %+v", got)
	}
	if got := search(t).Files("gone", filepath.Join(dir, "gone"), control, 1); !strings.HasPrefix(got.Verdict(), "uncontrolled: lstat ") {
		t.Errorf("gone: %+v", got)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows the memory of a process")
	}
	held := []byte("marker of this process " + fmt.Sprint(os.Getpid()))
	got := search(t).Memory("ourselves", os.Getpid(), string(held))
	if got.Leak != "env:TOKEN" || !got.Control || got.Bytes == 0 { // it holds the token itself
		t.Errorf("%+v", got)
	}
	runtime.KeepAlive(held)
	if got := search(t).Memory("nobody", 1<<30, control); !strings.HasPrefix(got.Verdict(), "uncontrolled: open ") {
		t.Errorf("%+v", got)
	}
}
