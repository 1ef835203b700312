package imagesign_test

import (
	"errors"
	"testing"

	"aead.dev/minisign"
)

// A pair of keys that was made for this file, and is of no use elsewhere.
const (
	oldID = "9B79F7D223E875E9"

	oldKey = `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA6XXoI9L3eZtkNC5ZLONvnXyzZIUQZWp9Q8KocvUctUPtEDPp7b+I0u+1UB8IJmbxKpkrFxvnoGruUWkd4IxhyJBjEFhyECADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`

	oldPublic = `untrusted comment: minisign public key: 9B79F7D223E875E9
RWTpdegj0vd5m++1UB8IJmbxKpkrFxvnoGruUWkd4IxhyJBjEFhyECAD
`

	oldSignature = `untrusted comment: signature of bottle
RWTpdegj0vd5m28ATP98pLMUY/dufjHgo8mGxVec6NtEKrLNZAeMaVvL6R0zM3GwD3U4YMc2O26lylDiqfq87hzZan3OERR0XAY=
trusted comment: bottle machine image sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
j/j3P/OYMVJSDH37HMs3UqocdBbFF3fTaxHDWp1uydbwooNGSb8FTSyC6cagwwL2+ny2AiJ+H3B8mURpMpJRCw==
`
)

// withID gives a signature the id of another public key.
func withID(t *testing.T, signature, public string) string {
	t.Helper()
	var signed minisign.Signature
	var key minisign.PublicKey
	if err := errors.Join(signed.UnmarshalText([]byte(signature)), key.UnmarshalText([]byte(public))); err != nil {
		t.Fatal(err)
	}
	signed.KeyID = key.ID()
	text, err := signed.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
