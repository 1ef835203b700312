// Package ca makes the certificate authority of one launch and the leaves under it.
//
// The authority signs host names only: its name constraints exclude every IP address,
// and a path length of 0 forbids authorities below it. It is not bound to the hosts of
// the launch, because a route can be approved later. Nothing is written to disk here,
// and the keys leave only as [secret.Value]. Every launch and every resume makes a new one.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"bottle.internal/internal/secret"
	"bottle.internal/internal/urlpart/hostname"
)

// skew is how far a clock in a guest may lag behind.
const skew = time.Hour

// maxCommonName is X.520's bound.
const maxCommonName = 64

// Authority is a certificate authority that lives in memory. It is safe for concurrent
// use when its source of randomness is, as [crypto/rand.Reader] is.
type Authority struct {
	cert   *x509.Certificate
	der    []byte
	key    *ecdsa.PrivateKey
	keyPEM secret.Value
	random io.Reader
}

// Leaf is a server certificate for one host.
type Leaf struct {
	// TLS is ready for a [tls.Config]; it carries the leaf alone, for the authority is
	// what the client trusts.
	TLS tls.Certificate
	// CertPEM and KeyPEM are the same for another program; the key is SEC1.
	CertPEM []byte
	KeyPEM  secret.Value
}

// New makes an authority that is valid from an hour before now for lifetime. Random is
// [crypto/rand.Reader] outside tests.
func New(commonName string, lifetime time.Duration, now time.Time, random io.Reader) (*Authority, error) {
	if commonName == "" || len(commonName) > maxCommonName {
		return nil, fmt.Errorf("making a CA: the common name has %d bytes, 1 to %d are allowed", len(commonName), maxCommonName)
	}
	if lifetime <= 0 {
		return nil, fmt.Errorf("making a CA: a lifetime of %v", lifetime)
	}
	key, keyPEM, err := newKey(random)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	template, err := newTemplate(commonName, random)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	template.NotBefore, template.NotAfter = now.Add(-skew).UTC(), now.Add(lifetime).UTC()
	template.IsCA, template.MaxPathLen, template.MaxPathLenZero = true, 0, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.PermittedDNSDomainsCritical = true // the constraints as a whole
	template.ExcludedIPRanges = everyAddress()
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a CA: signing: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making a CA: reading it back: %w", err)
	}
	return &Authority{cert: cert, der: der, key: key, keyPEM: keyPEM, random: random}, nil
}

// CertPEM is what clients trust.
func (a *Authority) CertPEM() []byte { return certPEM(a.der) }

// KeyPEM is the private key as SEC1, the only form that pipelock takes.
func (a *Authority) KeyPEM() secret.Value { return a.keyPEM }

// NotAfter is the end of the authority and of all its leaves.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Fingerprint is the SHA-256 of the certificate, for receipts.
func (a *Authority) Fingerprint() [sha256.Size]byte { return sha256.Sum256(a.der) }

// Leaf makes a certificate for exactly one host name in canonical form. Addresses,
// wildcards and odd spellings are errors.
func (a *Authority) Leaf(host string) (Leaf, error) {
	if err := checkHost(host); err != nil {
		return Leaf{}, fmt.Errorf("making a certificate for %q: %w", host, err)
	}
	leaf, err := a.sign(host)
	if err != nil {
		return Leaf{}, fmt.Errorf("making a certificate for %q: %w", host, err)
	}
	return leaf, nil
}

func (a *Authority) sign(host string) (Leaf, error) {
	key, keyPEM, err := newKey(a.random)
	if err != nil {
		return Leaf{}, err
	}
	commonName := host
	if len(host) > maxCommonName {
		commonName = "" // the name that counts is the SAN
	}
	template, err := newTemplate(commonName, a.random)
	if err != nil {
		return Leaf{}, err
	}
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	template.DNSNames = []string{host}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(a.random, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Leaf{}, fmt.Errorf("signing: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return Leaf{}, fmt.Errorf("reading it back: %w", err)
	}
	return Leaf{
		TLS:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed},
		CertPEM: certPEM(der),
		KeyPEM:  keyPEM,
	}, nil
}

func checkHost(host string) error {
	canonical, err := hostname.Canonical(host)
	switch {
	case err != nil:
		return err
	case canonical != host:
		return errors.New("write it in lower case")
	case hostname.IsIP(host):
		return errors.New("addresses get no certificate")
	}
	return nil
}

func newKey(random io.Reader) (*ecdsa.PrivateKey, secret.Value, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, secret.Value{}, fmt.Errorf("drawing a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, secret.Value{}, fmt.Errorf("writing a key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return key, secret.New(string(block)), nil
}

func newTemplate(commonName string, random io.Reader) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and never short
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: commonName},
		BasicConstraintsValid: true,
	}, nil
}

func everyAddress() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
