package termsafe

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxTitle = 200 // bytes
	maxLink  = 2048
	// titleMark says whose words a window's title is.
	titleMark = "bottle: "
	closeLink = "\x1b]8;;\x1b\\"
)

// title makes a window's title of what the guest wants it to be.
func title(text string) (string, bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	for len(text) > maxTitle {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return titleMark + strings.TrimPrefix(text, titleMark), true
}

// link makes a hyperlink of an OSC 8's parameters and address. What is no plain web address
// closes the link before it: its text is shown all the same.
func link(rest string) string {
	params, address, ok := strings.Cut(rest, ";")
	if !ok || !webAddress(address) {
		return closeLink
	}
	id := ""
	for param := range strings.SplitSeq(params, ":") {
		if value, ok := strings.CutPrefix(param, "id="); ok && len(value) <= 64 && simple(value) {
			id = "id=" + value
		}
	}
	return "\x1b]8;" + id + ";" + address + "\x1b\\"
}

// webAddress has no user part, which is a way to look like another host.
func webAddress(address string) bool {
	if len(address) > maxLink || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return false
	}
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func simple(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}
