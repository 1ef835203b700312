package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/ca"
)

var errNoRandom = errors.New("no randomness left")

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errNoRandom }

func newCA(t *testing.T) *ca.Authority {
	t.Helper()
	authority, err := ca.New("bottle demo-x7k2p", 72*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Fatalf("no single certificate: %q", data)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func verify(authority *ca.Authority, leaf *x509.Certificate, name string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.CertPEM())
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	return err
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	authority, err := ca.New("bottle demo-x7k2p", 72*time.Hour, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, authority.CertPEM())
	switch {
	case cert.Subject.CommonName != "bottle demo-x7k2p":
		t.Errorf("common name %q", cert.Subject.CommonName)
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.MaxPathLen != 0 || !cert.MaxPathLenZero:
		t.Error("no CA with a path length of 0")
	case cert.KeyUsage != x509.KeyUsageCertSign:
		t.Errorf("key usage %b", cert.KeyUsage)
	case !cert.NotBefore.Equal(now.Add(-time.Hour)) || !cert.NotAfter.Equal(now.Add(72*time.Hour)):
		t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
	case fmt.Sprint(cert.ExcludedIPRanges) != "[0.0.0.0/0 ::/0]" || !cert.PermittedDNSDomainsCritical:
		t.Errorf("excluded %v, critical %v", cert.ExcludedIPRanges, cert.PermittedDNSDomainsCritical)
	case len(cert.PermittedDNSDomains)+len(cert.ExcludedDNSDomains) != 0:
		t.Error("names are constrained: a route approved later would not work")
	case cert.SerialNumber.BitLen() != 127:
		t.Errorf("serial number of %d bits", cert.SerialNumber.BitLen())
	}
	key, isP256 := cert.PublicKey.(*ecdsa.PublicKey)
	if !isP256 || key.Curve != elliptic.P256() {
		t.Errorf("key %T", cert.PublicKey)
	}
	if !authority.NotAfter().Equal(cert.NotAfter) {
		t.Errorf("NotAfter() = %v", authority.NotAfter())
	}
}

func TestKeyIsSEC1AndSecret(t *testing.T) {
	t.Parallel()
	authority := newCA(t)
	block, _ := pem.Decode([]byte(authority.KeyPEM().Reveal()))
	if block == nil || block.Type != "EC PRIVATE KEY" {
		t.Fatal("the key is no SEC1 PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil || !key.PublicKey.Equal(parse(t, authority.CertPEM()).PublicKey) {
		t.Errorf("the key is not the certificate's: %v", err)
	}
	leaf, err := authority.Leaf("a.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v", authority.KeyPEM(), authority.KeyPEM()), fmt.Sprintf("%v", leaf.KeyPEM)} {
		if strings.Contains(printed, "PRIVATE") {
			t.Errorf("a key prints itself: %s", printed)
		}
	}
}

func TestLeaf(t *testing.T) {
	t.Parallel()
	authority := newCA(t)
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".test"
	for _, host := range []string{"api.example.test", "xn--bcher-kva.test", long} {
		leaf, err := authority.Leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		cert := parse(t, leaf.CertPEM)
		if fmt.Sprint(cert.DNSNames) != "["+host+"]" || len(cert.IPAddresses) != 0 || cert.IsCA {
			t.Errorf("%s: names %v, addresses %v, CA %v", host, cert.DNSNames, cert.IPAddresses, cert.IsCA)
		}
		if fmt.Sprint(cert.ExtKeyUsage) != fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
			t.Errorf("%s: usages %v", host, cert.ExtKeyUsage)
		}
		if err := verify(authority, cert, host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if verify(authority, cert, "x."+host) == nil || verify(newCA(t), cert, host) == nil {
			t.Errorf("%s: good for another name or authority", host)
		}
		pair, err := tls.X509KeyPair(leaf.CertPEM, []byte(leaf.KeyPEM.Reveal()))
		if err != nil || !pair.Leaf.Equal(leaf.TLS.Leaf) {
			t.Errorf("%s: the PEMs are not the pair: %v", host, err)
		}
	}
}

func TestLeafRefuses(t *testing.T) {
	t.Parallel()
	authority := newCA(t)
	for host, want := range map[string]string{
		"":           `making a certificate for "": the host is empty`,
		"10.0.0.1":   `making a certificate for "10.0.0.1": addresses get no certificate`,
		"::1":        `making a certificate for "::1": a colon or bracket in the host (IPv6 literals too) is not allowed`,
		"*.test":     `making a certificate for "*.test": a host is letters, digits and inner dashes, in labels of 1 to 63 bytes`,
		"A.test":     `making a certificate for "A.test": write it in lower case`,
		"a.test.":    `making a certificate for "a.test.": a trailing dot is not allowed`,
		"127.1":      `making a certificate for "127.1": the host ends in a number and is no plain IPv4 address`,
		"a.test\x00": `making a certificate for "a.test\x00": it holds a space or a control character`,
	} {
		if _, err := authority.Leaf(host); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A stolen key is good for no address and no further authority, whatever is signed with it.
func TestConstraintsHold(t *testing.T) {
	t.Parallel()
	authority := newCA(t)
	block, _ := pem.Decode([]byte(authority.KeyPEM().Reveal()))
	stolen, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	root := parse(t, authority.CertPEM())
	sign := func(template, parent *x509.Certificate) *x509.Certificate {
		template.SerialNumber = big.NewInt(7)
		template.NotBefore, template.NotAfter = root.NotBefore, root.NotAfter
		template.BasicConstraintsValid = true
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &stolen.PublicKey, stolen)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	for _, ip := range []string{"127.0.0.1", "1.2.3.4", "::1", "2606:4700::1"} {
		leaf := sign(&x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}}, root)
		var invalid x509.CertificateInvalidError
		if err := verify(authority, leaf, ip); !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", ip, err)
		}
	}
	middle := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "middle"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}, root)
	leaf := sign(&x509.Certificate{DNSNames: []string{"a.test"}}, middle)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	between.AddCert(middle)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "a.test"}); err == nil {
		t.Error("an authority below the authority was accepted")
	}
}

func TestEveryAuthorityIsNew(t *testing.T) {
	t.Parallel()
	first, second := newCA(t), newCA(t)
	if first.Fingerprint() == second.Fingerprint() || first.KeyPEM().Reveal() == second.KeyPEM().Reveal() {
		t.Error("two launches share an authority")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		want     string
	}{
		{"", time.Hour, "making a CA: the common name has 0 bytes, 1 to 64 are allowed"},
		{strings.Repeat("a", 65), time.Hour, "making a CA: the common name has 65 bytes, 1 to 64 are allowed"},
		{"a", 0, "making a CA: a lifetime of 0s"},
	} {
		if _, err := ca.New(test.name, test.lifetime, time.Now(), rand.Reader); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if _, err := ca.New("a", time.Hour, time.Now(), noRandom{}); !errors.Is(err, errNoRandom) {
		t.Errorf("without randomness: %v", err)
	}
}
