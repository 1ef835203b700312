package echo

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"

	"bottle.internal/internal/secret"
)

// Credential is what a host expects in every request: a header, by the hash of its whole
// value. The value itself does not leave the side that makes it.
type Credential struct {
	Header string `json:"header"`
	SHA256 string `json:"sha256"` // in hex
}

// Expect makes a Credential of a header's whole value, such as "Bearer TOKEN".
func Expect(header string, value secret.Value) Credential {
	sum := sha256.Sum256([]byte(value.Reveal()))
	return Credential{Header: header, SHA256: hex.EncodeToString(sum[:])}
}

// What is said of a credential.
const (
	credentialReal    = "the real one"
	credentialNone    = "none"
	credentialAnother = "another one"
)

// credentials are the expected ones, by host.
type credentials map[string]expected

type expected struct {
	header string
	sum    []byte
}

func (c credentials) add(host string, credential Credential) error {
	sum, err := hex.DecodeString(credential.SHA256)
	if err != nil || len(sum) != sha256.Size || credential.Header == "" {
		return errors.New("a header and a hex sha256 are needed")
	}
	c[host] = expected{header: credential.Header, sum: sum}
	return nil
}

// compare says how a request's credential compares with the host's; "" if it has none.
func (c credentials) compare(host string, header http.Header) string {
	want, ok := c[host]
	if !ok {
		return ""
	}
	values := header.Values(want.header)
	if len(values) == 0 {
		return credentialNone
	}
	sum := sha256.Sum256([]byte(values[0]))
	if len(values) == 1 && subtle.ConstantTimeCompare(sum[:], want.sum) == 1 {
		return credentialReal
	}
	return credentialAnother
}
