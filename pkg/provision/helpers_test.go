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
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bottle.internal/internal/guest/receive"
)

// fakeGuest receives as the real one does, with a directory in place of the guest's root,
// and without becoming root: owners are only written down.
type fakeGuest struct {
	root     string
	world    string // the certificate that everybody trusts
	archives [][]byte
	owners   map[string]string
	// answer, if set, may answer a call itself.
	answer func(call int) (code int, err error, mine bool)
}

// newGuest has a trust store with one certificate.
func newGuest(t *testing.T) *fakeGuest {
	t.Helper()
	g := &fakeGuest{root: t.TempDir(), owners: map[string]string{}}
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

func (g *fakeGuest) Install(_ context.Context, archive []byte, stderr io.Writer) (int, error) {
	g.archives = append(g.archives, archive)
	if g.answer != nil {
		if code, err, mine := g.answer(len(g.archives)); mine {
			return code, err
		}
	}
	place := receive.Place{Root: g.root, Chown: func(name string, uid, gid int) error {
		g.owners[name] = fmt.Sprintf("%d:%d", uid, gid)
		return nil
	}}
	if err := place.Receive(bytes.NewReader(archive)); err != nil {
		fmt.Fprintln(stderr, err)
		return 125, nil
	}
	return 0, nil
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
