package firewall

import (
	"net/url"
	"strings"
)

// credentialIn finds a query parameter whose name says that its value is a
// credential: an agent that has one of its own could use it to sign data out.
func credentialIn(query string) (name string, found bool) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil {
			// A name that cannot be read is not known to be harmless.
			return printable(raw, 40), true
		}
		if isCredentialName(name) {
			return printable(name, 40), true
		}
	}
	return "", false
}

func isCredentialName(name string) bool {
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
