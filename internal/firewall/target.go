package firewall

import (
	"errors"
	"strconv"
	"strings"

	"bottle.internal/internal/urlpart/hostname"
)

// Target is where a request wants to go, as the request line says it.
type Target struct {
	Scheme Scheme
	Host   string // canonical
	Port   uint16
	Path   string // plain requests only: the exact bytes, without the query
	Query  string // plain requests only: what follows the question mark
	Asked  bool   // there was a question mark, maybe with nothing behind it
}

// maxURL bounds a plain request: a URL is the easiest way to carry data out.
const maxURL = 2 << 10

// maxAuthority is a host of full length, a colon and a port.
const maxAuthority = 253 + 1 + 5

// What is wrong with a target beyond its host.
var (
	errNoPort     = errors.New("the port is missing")
	errEmptyPort  = errors.New("the port is empty")
	errOddPort    = errors.New("the port is no number from 1 to 65535 in plain digits")
	errTooLong    = errors.New("it is too long")
	errHTTPS      = errors.New("https goes through CONNECT, not through a plain request")
	errOddScheme  = errors.New("it is neither host:port after CONNECT nor an http:// URL")
	errFragment   = errors.New("a fragment is not sent to a proxy")
	errOddControl = errors.New("it holds a space, a control character or a byte outside ASCII")
)

// parseAuthority reads host:port. A defaultPort of 0 makes the port obligatory.
func parseAuthority(text string, defaultPort uint16) (host string, port uint16, err error) {
	if len(text) > maxAuthority {
		return "", 0, errTooLong
	}
	name, digits, hasPort := strings.Cut(text, ":")
	if strings.ContainsAny(digits, ":@") || strings.ContainsAny(text, "[]") {
		// More than one colon: user info or IPv6; the host check names which.
		name = text
	}
	host, err = hostname.Canonical(name)
	switch {
	case err != nil:
		return "", 0, err
	case !hasPort && defaultPort == 0:
		return "", 0, errNoPort
	case !hasPort:
		return host, defaultPort, nil
	case digits == "":
		return "", 0, errEmptyPort
	}
	port, err = parsePort(digits)
	return host, port, err
}

func parsePort(digits string) (uint16, error) {
	if strings.Trim(digits, "0123456789") != "" || digits[0] == '0' {
		return 0, errOddPort
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return 0, errOddPort
	}
	return uint16(port), nil
}

// parseURL reads the absolute form of a plain request.
func parseURL(text string) (Target, error) {
	if len(text) > maxURL {
		return Target{}, errTooLong
	}
	for _, b := range []byte(text) {
		if b <= ' ' || b >= 0x7f {
			return Target{}, errOddControl
		}
	}
	rest, isHTTP := strings.CutPrefix(text, "http://")
	switch {
	case strings.HasPrefix(text, "https://"):
		return Target{}, errHTTPS
	case !isHTTP:
		return Target{}, errOddScheme
	case strings.Contains(rest, "#"):
		return Target{}, errFragment
	}
	authority, path := rest, "/"
	if cut := strings.IndexAny(rest, "/?"); cut >= 0 {
		authority, path = rest[:cut], rest[cut:]
	}
	host, port, err := parseAuthority(authority, 80)
	if err != nil {
		return Target{}, err
	}
	target := Target{Scheme: HTTP, Host: host, Port: port}
	target.Path, target.Query, target.Asked = strings.Cut(path, "?")
	return target, nil
}
