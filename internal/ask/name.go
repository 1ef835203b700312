package ask

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"bottle.internal/internal/urlpart/hostname"
)

// CheckHost returns a host in its one spelling, or why an agent may not ask for it. Only
// names pass, and only such as a public DNS server could know; which addresses they have is
// judged when they are dialed. Known are the bottle's own test names (of its echo upstream),
// the only ones that may end in .test.
func CheckHost(text string, known []string) (string, error) {
	host, err := hostname.Canonical(text)
	if err != nil {
		return "", fmt.Errorf("host %.80q: %w", text, err)
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case hostname.IsIP(host) || last[0] >= '0' && last[0] <= '9':
		return "", fmt.Errorf("host %q: it is an address; only names can be asked for", host)
	case len(labels) == 1:
		return "", fmt.Errorf("host %q: it is a single label; write the full name", host)
	case slices.Contains(privateSuffixes(), last) && !slices.Contains(known, host):
		return "", fmt.Errorf("host %q: names under .%s are not on the internet", host, last)
	}
	for _, label := range labels {
		if strings.HasPrefix(label, "xn--") && !isALabel(label) {
			return "", fmt.Errorf("host %q: %q is no valid xn-- label", host, label)
		}
	}
	return host, nil
}

// privateSuffixes are the last labels that lead to this machine, this network or nowhere.
func privateSuffixes() []string {
	return []string{
		"alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local",
		"localdomain", "localhost", "onion", "private", "test",
	}
}

// isALabel admits only labels that come out of their Unicode form again: anything else is
// read differently by different programs.
func isALabel(label string) bool {
	unicode, err := idna.Lookup.ToUnicode(label)
	if err != nil {
		return false
	}
	again, err := idna.Lookup.ToASCII(unicode)
	return err == nil && again == label
}
