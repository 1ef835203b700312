package echo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
)

func TestMainRefuses(t *testing.T) {
	t.Parallel()
	authority := fakenet.Authority(t)
	leaf, err := authority.Leaf("echo.bottle.test")
	if err != nil {
		t.Fatal(err)
	}
	hostKey, _, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*echo.Bootstrap)) string {
		boot := echo.Bootstrap{
			Listen: "127.0.0.1:0", Certs: []echo.Cert{{Cert: leaf.CertPEM, Key: leaf.KeyPEM}},
			Git: &echo.Git{Listen: "127.0.0.1:0", HostKey: hostKey, AuthorizedKey: public, Repositories: []string{"app.git"}},
		}
		change(&boot)
		input, err := boot.Stdin()
		if err != nil {
			t.Fatal(err)
		}
		return string(input)
	}
	const (
		reading = "bundle echo: reading the bootstrap: "
		broken  = reading + "it is not one JSON value of listen, certs, credentials, git and model\n"
		needed  = reading + "listen and certs are needed\n"
		header  = reading + "credentials of \"a.test\": a header and a hex sha256 are needed\n"
	)
	for _, test := range []struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		{[]string{"x"}, "", 2, "bundle echo: unexpected argument \"x\"\n"},
		{nil, "", 1, broken},
		{nil, "{", 1, broken},
		{nil, `{"listen":":0","certs":[],"more":1}`, 1, broken},
		{nil, `{"listen":"` + strings.Repeat(":", 70000) + `"}`, 1, broken},
		{nil, `{"listen":":0"}`, 1, needed},
		{nil, `{"certs":[{"cert":"c","key":"k"}]}`, 1, needed},
		{nil, `{"listen":":0","certs":[{"cert":"c","key":"s3cret"}]}`, 1, reading + "certs[0]: cert and key are no pair of PEM blocks\n"},
		{nil, with(func(b *echo.Bootstrap) {
			b.Credentials = map[string]echo.Credential{"a.test": {Header: "X", SHA256: "00"}}
		}), 1, header},
		{nil, with(func(b *echo.Bootstrap) {
			b.Credentials = map[string]echo.Credential{"a.test": {SHA256: strings.Repeat("00", 32)}}
		}), 1, header},
		{nil, with(func(b *echo.Bootstrap) { b.Git.HostKey = secret.New("s3cret") }), 1, reading + "git.host_key is no private key\n"},
		{nil, with(func(b *echo.Bootstrap) { b.Git.AuthorizedKey = "x" }), 1, reading + "git.authorized_key is not one public key\n"},
		{nil, with(func(b *echo.Bootstrap) { b.Git.AuthorizedKey += "\n" + public }), 1, reading + "git.authorized_key is not one public key\n"},
		{nil, with(func(b *echo.Bootstrap) { b.Git.Repositories = nil }), 1, "bundle echo: making the repositories: 0 repositories, want 1 to 8\n"},
		{nil, with(func(b *echo.Bootstrap) { b.Git.Repositories = []string{"../app.git"} }), 1, "bundle echo: making the repositories: \"../app.git\" is not the name of a repository, or there twice\n"},
		{nil, with(func(b *echo.Bootstrap) { b.Git.Repositories = []string{"app.git", "app.git"} }), 1, "bundle echo: making the repositories: \"app.git\" is not the name of a repository, or there twice\n"},
	} {
		var stdout, stderr bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what it should refuse, it would serve for ever
		code := echo.Main(ctx, test.args, strings.NewReader(test.stdin), &stdout, &stderr)
		cancel()
		if code != test.code || stderr.String() != test.want || stdout.Len() != 0 {
			t.Errorf("%.60s: %d %q %q", test.stdin, code, stdout.String(), stderr.String())
		}
	}
}
