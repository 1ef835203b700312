package gitgate

import (
	"regexp"
	"strings"
)

const (
	zeroOID   = "0000000000000000000000000000000000000000"
	heads     = "refs/heads/"
	maxRef    = 250
	emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
)

var (
	oidPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	// refPattern is narrower than git's rule: no name needs quoting in a shell, a URL, a
	// log line or an argument.
	refPattern = regexp.MustCompile(`^refs(/[A-Za-z0-9_+.@=#,%-]+)+$`)
)

// checkRef returns why name is no ref that the gate handles, or "".
func checkRef(name string) string {
	switch {
	case len(name) > maxRef:
		return "its name is too long"
	case !refPattern.MatchString(name), strings.Contains(name, ".."), strings.HasSuffix(name, "."):
		return "its name has characters that are not allowed"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' || part[0] == '-' || part == "@" || strings.HasSuffix(part, ".lock") {
			return "its name has characters that are not allowed"
		}
	}
	return ""
}
