package firewall

import (
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/urlquery"
)

// credentialIn finds a credential in a query; the name is fit to be printed.
func credentialIn(query string) (name string, found bool) {
	name, found = urlquery.Credential(query)
	return printable.ASCII(name, 40), found
}
