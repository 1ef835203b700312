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

// renderCA writes each certificate into a file of its own and makes the system trust
// it. update-ca-certificates starts a thousand processes, which takes minutes in an
// emulated machine; so the script does for our few what that program would do, with
// the same result, and checks that the bundle has them.
func renderCA(in Input) (step, error) {
	var s step
	var paths, trust []string
	for i, bundle := range in.CAs {
		certs, err := parseCertificates(bundle)
		if err != nil {
			return step{}, fmt.Errorf("certificate file %d: %w", i+1, err)
		}
		for _, cert := range certs {
			sum := sha256.Sum256(cert.Raw)
			name := path.Join(caDir, fmt.Sprintf("bottle-%x.crt", sum[:8]))
			if slices.Contains(paths, Quote(name)) {
				continue
			}
			hash, err := subjectHash(cert)
			if err != nil {
				return step{}, fmt.Errorf("certificate file %d: %w", i+1, err)
			}
			paths = append(paths, Quote(name))
			trust = append(trust, fmt.Sprintf("trust %s %s", Quote(name), hash))
			s.files = append(s.files, File{
				Path: name, Mode: 0o644,
				Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
			})
		}
	}
	if len(paths) == 0 {
		return step{}, nil
	}
	s.script = strings.NewReplacer(
		"@DIR@", caDir, "@TRUST@", trustDir, "@BUNDLE@", caBundle, "@CURRENT@", strings.Join(paths, "|"),
	).Replace(caScript) + strings.Join(trust, "\n") + "\n"
	return s, nil
}

// caScript forgets the certificates of earlier launches and defines trust.
const caScript = `bundle=@BUNDLE@
name() { pem=${1##*/}; pem=${pem%.crt}.pem; }
trusted() {
  text=$(cat "$1")
  case "$text" in -----BEGIN*) ;; *) return 1 ;; esac
  case "$(cat "$bundle")" in *"$text"*) ;; *) return 1 ;; esac
}
for old in @DIR@/bottle-*.crt; do
  case "$old" in
  @CURRENT@) ;;
  *)
    [ -e "$old" ] || continue
    awk 'BEGIN { RS = ORS = "-----END CERTIFICATE-----\n" } NR == FNR { old[$0]; next } !($0 in old)' "$old" "$bundle" > "$bundle.bottle"
    mv -f "$bundle.bottle" "$bundle"
    if trusted "$old"; then echo "$old did not get out of $bundle" >&2; exit 1; fi
    name "$old"
    find @TRUST@ -lname "$pem" -delete
    rm -f -- "@TRUST@/$pem" "$old"
    ;;
  esac
done
trust() {
  name "$1"
  if ! trusted "$1"; then
    cat "$1" >> "$bundle"
    if ! trusted "$1"; then echo "$1 did not get into $bundle" >&2; exit 1; fi
  fi
  ln -sf "$1" "@TRUST@/$pem"
  n=0
  while [ -e "@TRUST@/$2.$n" ] && [ "$(readlink "@TRUST@/$2.$n")" != "$pem" ]; do n=$((n + 1)); done
  ln -sf "$pem" "@TRUST@/$2.$n"
}
`

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
