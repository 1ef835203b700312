package provision

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// renderCA writes each certificate into a file of its own and makes the system trust
// it. update-ca-certificates reads all 150 certificates again, which takes seconds in
// an emulated machine; so the script does for ours what that program would do, and
// runs it only to get rid of the certificates of an earlier launch.
func renderCA(in Input) (step, error) {
	var s step
	var paths []string
	for i, bundle := range in.CAs {
		certs, err := parseCertificates(bundle)
		if err != nil {
			return step{}, fmt.Errorf("certificate file %d: %w", i+1, err)
		}
		for _, cert := range certs {
			sum := sha256.Sum256(cert.Raw)
			name := path.Join(caDir, fmt.Sprintf("bottle-%x.crt", sum[:8]))
			if slices.Contains(paths, name) {
				continue
			}
			paths = append(paths, name)
			s.files = append(s.files, File{
				Path: name, Mode: 0o644,
				Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
			})
		}
	}
	if len(paths) == 0 {
		return step{}, nil
	}
	words := make([]string, len(paths))
	for i, name := range paths {
		words[i] = Quote(name)
	}
	s.script = strings.NewReplacer(
		"@DIR@", caDir, "@TRUST@", trustDir, "@BUNDLE@", caBundle,
		"@PATTERN@", strings.Join(words, "|"), "@WORDS@", strings.Join(words, " "),
	).Replace(caScript)
	return s, nil
}

const caScript = `stale=
for old in @DIR@/bottle-*.crt; do
  case "$old" in
  @PATTERN@) ;;
  *) if [ -e "$old" ]; then rm -f -- "$old"; stale=1; fi ;;
  esac
done
if [ -n "$stale" ]; then update-ca-certificates >/dev/null 2>&1; fi
trusted() { tr -d '\n' < @BUNDLE@ | grep -qF -- "$(tr -d '\n' < "$1")"; }
for new in @WORDS@; do
  if ! trusted "$new"; then
    cp @BUNDLE@ @BUNDLE@.bottle
    cat "$new" >> @BUNDLE@.bottle
    mv -f @BUNDLE@.bottle @BUNDLE@
    pem=$(basename "$new" .crt).pem
    ln -sf "$new" @TRUST@/"$pem"
    hash=$(openssl x509 -noout -subject_hash -in "$new")
    n=0
    while [ -e @TRUST@/"$hash.$n" ]; do n=$((n + 1)); done
    ln -sf "$pem" @TRUST@/"$hash.$n"
  fi
  if ! trusted "$new"; then
    echo "$new did not get into @BUNDLE@" >&2
    exit 1
  fi
done
`

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
