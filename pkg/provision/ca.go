package provision

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // G505: see subjectHash
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// renderCA writes each certificate into a file of its own and has the guest make the
// whole system trust it.
func renderCA(in Input) (step, error) {
	var s step
	for i, bundle := range in.CAs {
		certs, err := parseCertificates(bundle)
		if err != nil {
			return step{}, fmt.Errorf("certificate file %d: %w", i+1, err)
		}
		for _, cert := range certs {
			sum := sha256.Sum256(cert.Raw)
			name := path.Join(caDir, fmt.Sprintf("bottle-%x.crt", sum[:8]))
			if slices.ContainsFunc(s.trust, func(c Certificate) bool { return c.File == name }) {
				continue
			}
			hash, err := subjectHash(cert)
			if err != nil {
				return step{}, fmt.Errorf("certificate file %d: %w", i+1, err)
			}
			s.trust = append(s.trust, Certificate{File: name, Hash: hash})
			s.files = append(s.files, File{
				Path: name, Mode: 0o644,
				Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
			})
		}
	}
	return s, nil
}

// subjectHash is the name under which OpenSSL looks for a certificate in a directory:
// the first bytes of SHA-1 over the subject in its canonical form.
func subjectHash(cert *x509.Certificate) (string, error) {
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil || len(rest) != 0 {
		return "", errors.New("its subject cannot be read")
	}
	var canonical []byte
	for _, names := range subject {
		set := make([]canonicalName, 0, len(names))
		for _, name := range names {
			text, ok := name.Value.(string)
			if !ok {
				return "", fmt.Errorf("its subject has a value for %s that is no text", name.Type)
			}
			set = append(set, canonicalName{name.Type, canonicalText(text)})
		}
		encoded, err := asn1.MarshalWithParams(set, "set")
		if err != nil {
			return "", fmt.Errorf("its subject: %w", err)
		}
		canonical = append(canonical, encoded...)
	}
	sum := sha1.Sum(canonical) //nolint:gosec // G401: OpenSSL's choice of a name, not a protection
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4])), nil
}

type canonicalName struct {
	Type asn1.ObjectIdentifier
	Text string `asn1:"utf8"`
}

// canonicalText makes small ASCII letters, and one space out of several.
func canonicalText(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || (r >= '\t' && r <= '\r') })
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, strings.Join(words, " "))
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s, want certificates only", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 || len(bytes.TrimSpace(data)) != 0 {
		return nil, errors.New("it is not PEM")
	}
	return certs, nil
}
