package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/secret"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	made := newCA(t)
	loaded, err := ca.Load(made.CertPEM(), made.KeyPEM(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := loaded.Leaf("a.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(made, parse(t, leaf.CertPEM), "a.test"); err != nil {
		t.Error(err)
	}
	if loaded.Fingerprint() != made.Fingerprint() || loaded.KeyPEM().Reveal() != made.KeyPEM().Reveal() || !loaded.NotAfter().Equal(made.NotAfter()) {
		t.Error("it is another authority")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	made, other := newCA(t), newCA(t)
	leaf, err := made.Leaf("a.test")
	if err != nil {
		t.Fatal(err)
	}
	big, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	der, _ := x509.MarshalECPrivateKey(big)
	p384 := secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	broken := secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})))
	pkcs8 := secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	for _, test := range []struct {
		cert []byte
		key  secret.Value
		want string
	}{
		{nil, made.KeyPEM(), "loading a CA: certificate: it is no PEM"},
		{append(made.CertPEM(), other.CertPEM()...), made.KeyPEM(), "loading a CA: certificate: there is more behind it"},
		{[]byte(made.KeyPEM().Reveal()), made.KeyPEM(), `loading a CA: certificate: it is a "EC PRIVATE KEY", not a "CERTIFICATE"`},
		{made.CertPEM(), secret.Value{}, "loading a CA: key: it is no PEM"},
		{made.CertPEM(), pkcs8, `loading a CA: key: it is a "PRIVATE KEY", not a "EC PRIVATE KEY"`},
		{made.CertPEM(), broken, "loading a CA: key: it is no SEC1 key"},
		{made.CertPEM(), p384, "loading a CA: key: the curve is not P-256"},
		{made.CertPEM(), other.KeyPEM(), "loading a CA: certificate and key do not belong together"},
		{leaf.CertPEM, leaf.KeyPEM, "loading a CA: the certificate is no authority's"},
	} {
		if _, err := ca.Load(test.cert, test.key, rand.Reader); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	leaves := ca.NewLeaves(newCA(t), 2)
	get := func(host string) string {
		leaf, err := leaves.Get(host)
		if err != nil {
			t.Fatal(err)
		}
		return string(leaf.CertPEM)
	}
	first := get("a.test")
	if get("a.test") != first {
		t.Error("a leaf is made twice")
	}
	leaves.Keep(func(host string) bool { return host != "a.test" })
	if get("a.test") == first {
		t.Error("a leaf is kept")
	}
	b := get("b.test")
	_ = get("c.test")
	if again := get("b.test"); again == b && get("a.test") == first {
		t.Error("more leaves than two")
	}
	if _, err := leaves.Get("10.0.0.1"); err == nil {
		t.Error("a leaf for an address")
	}
}
