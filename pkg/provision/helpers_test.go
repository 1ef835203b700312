package provision_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/pkg/provision"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference. Got:\n%s", path, got)
	}
}

// fakeGuest runs the real commands with a directory in place of the guest's root, and
// without becoming root: owners are not set.
type fakeGuest struct {
	root  string
	world string // the certificate that everybody trusts
	calls []provision.Exec
	stdin [][]byte
	// answer, if set, may answer a call itself.
	answer func(call int) (code int, err error, mine bool)
}

// newGuest has a trust store with one certificate.
func newGuest(t *testing.T) *fakeGuest {
	t.Helper()
	g := &fakeGuest{root: t.TempDir()}
	g.world = string(makeCA(t))
	g.write(t, "etc/ssl/certs/ca-certificates.crt", g.world, 0o644)
	g.write(t, "usr/local/share/ca-certificates/.keep", "", 0o644)
	g.write(t, "run/bottle/.keep", "", 0o644)
	return g
}

func (g *fakeGuest) path(name string) string { return filepath.Join(g.root, name) }

func (g *fakeGuest) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(g.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (g *fakeGuest) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(g.path(name))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func (g *fakeGuest) Exec(ctx context.Context, command provision.Exec) (int, error) {
	g.calls = append(g.calls, command)
	var stdin bytes.Buffer
	if command.Stdin != nil {
		if _, err := stdin.ReadFrom(command.Stdin); err != nil {
			return 0, err
		}
	}
	g.stdin = append(g.stdin, bytes.Clone(stdin.Bytes()))
	if g.answer != nil {
		if code, err, mine := g.answer(len(g.calls)); mine {
			return code, err
		}
	}
	inRoot := strings.NewReplacer(
		"/home/agent", g.path("home/agent"), "/run/bottle", g.path("run/bottle"), "/usr/local", g.path("usr/local"),
		"/etc/", g.path("etc")+"/", "/srv/", g.path("srv")+"/", "tar -x", "tar --no-same-owner -x", "-C /", "-C "+g.root,
	)
	args := make([]string, len(command.Command))
	for i, arg := range command.Command {
		args[i] = inRoot.Replace(arg)
	}
	if args[0] == "tar" { // here the options are words of their own: nothing may reach the real root
		args = []string{"tar", "-x", "--no-same-owner", "-p", "-m", "-f", "-", "-C", g.root}
	}
	err := execx.Run(ctx, execx.Cmd{
		Path: args[0], Args: args[1:], Env: []string{"PATH=" + g.path("stubs") + ":/usr/bin:/bin"},
		Stdin: &stdin, Stdout: command.Stdout, Stderr: command.Stderr,
	})
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) {
		return exit.Code, nil
	}
	return 0, err
}

// makeCA makes a certificate; its bytes differ each time.
func makeCA(t *testing.T) []byte {
	t.Helper()
	return makeNamedCA(t, pkix.Name{CommonName: "bottle demo"})
}

func makeNamedCA(t *testing.T, subject pkix.Name) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject,
		NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
