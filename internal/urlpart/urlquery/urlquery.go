// Package urlquery finds credentials in the queries of URLs by the names of their
// parameters: an agent that has a credential of its own could use it to sign data out.
package urlquery

import (
	"net/url"
	"strings"
)

// Credential finds a parameter whose name says that its value is a credential. A name
// that cannot be read counts, for it is not known to be harmless. The name is as the
// agent wrote it.
func Credential(query string) (name string, found bool) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil {
			return raw, true
		}
		if isCredential(name) {
			return name, true
		}
	}
	return "", false
}

func isCredential(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
	switch name {
	case "key", "auth", "authorization", "sig", "signature", "pass", "passwd", "password", "pwd",
		"sessionid", "jwt", "bearer", "credential", "credentials":
		return true
	}
	for _, part := range []string{"token", "secret", "apikey", "accesskey", "privatekey"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	// Presigned URLs of the large object stores.
	return strings.HasPrefix(name, "xamz") || strings.HasPrefix(name, "xgoog")
}
