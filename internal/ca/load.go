package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"sync"

	"bottle.internal/internal/secret"
)

// Load reads an authority that [New] made from its PEMs, fails closed on everything else,
// and signs with random from then on.
func Load(certPEM []byte, keyPEM secret.Value, random io.Reader) (*Authority, error) {
	der, err := onlyBlock(certPEM, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("loading a CA: certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("loading a CA: certificate: %w", err)
	}
	keyDER, err := onlyBlock([]byte(keyPEM.Reveal()), "EC PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("loading a CA: key: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyDER)
	switch {
	case err != nil:
		return nil, errors.New("loading a CA: key: it is no SEC1 key") // the error may quote it
	case key.Curve != elliptic.P256():
		return nil, errors.New("loading a CA: key: the curve is not P-256")
	case !cert.IsCA || !cert.BasicConstraintsValid:
		return nil, errors.New("loading a CA: the certificate is no authority's")
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, errors.New("loading a CA: certificate and key do not belong together")
	}
	return &Authority{cert: cert, der: der, key: key, keyPEM: keyPEM, random: random}, nil
}

func onlyBlock(data []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("it is no PEM")
	case block.Type != kind:
		return nil, fmt.Errorf("it is a %.40q, not a %q", block.Type, kind)
	case len(rest) > 0:
		return nil, errors.New("there is more behind it")
	}
	return block.Bytes, nil
}

// Leaves keeps the leaves of an authority, each made once. It is safe for concurrent use.
type Leaves struct {
	authority *Authority
	max       int
	mu        sync.Mutex
	leaves    map[string]Leaf
}

// NewLeaves keeps at most limit leaves; one more replaces any of them.
func NewLeaves(authority *Authority, limit int) *Leaves {
	return &Leaves{authority: authority, max: limit, leaves: map[string]Leaf{}}
}

// Get returns the leaf of a host and makes it when it is not there.
func (l *Leaves) Get(host string) (Leaf, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if leaf, ok := l.leaves[host]; ok {
		return leaf, nil
	}
	leaf, err := l.authority.Leaf(host)
	if err != nil {
		return Leaf{}, err
	}
	for other := range l.leaves {
		if len(l.leaves) < l.max {
			break
		}
		delete(l.leaves, other)
	}
	l.leaves[host] = leaf
	return leaf, nil
}

// Keep forgets the leaves of all hosts that keep does not name.
func (l *Leaves) Keep(keep func(host string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for host := range l.leaves {
		if !keep(host) {
			delete(l.leaves, host)
		}
	}
}
