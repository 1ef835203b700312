package imagebuild

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// mozillaRoots is Mozilla's list of certificate authorities as one PEM file. It comes
// with the module, never from this host: a host may trust a company's own authority,
// and an image must not. Authorities that Mozilla trusts only in part are left out,
// since a PEM file cannot say so.
func mozillaRoots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}
