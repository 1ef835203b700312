package egress

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/needle"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
	"bottle.internal/internal/urlpart/urlpath"
)

// HealthPort is egress's own on 127.0.0.2.
const HealthPort = 9080

const maxRoutes = 1024

var (
	headerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,31}$`)
)

// reservedPorts belong to the bundle's daemons.
func reservedPorts() []uint16 { return []uint16{8888, 9100, 9420, 9990, HealthPort} }

func knownMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

func (c Config) validate() error {
	switch {
	case c.Placeholder != "" && !isMarker(c.Placeholder):
		return fmt.Errorf("the placeholder has to be %d to 256 bytes of printable ASCII", needle.MinLength)
	case slices.ContainsFunc(c.Canaries, func(text string) bool { return !isMarker(text) }):
		return fmt.Errorf("a canary has to be %d to 256 bytes of printable ASCII", needle.MinLength)
	case len(c.Canaries) > 64:
		return fmt.Errorf("%d canaries, at most 64 are allowed", len(c.Canaries))
	case c.OnCanary != "" && c.OnCanary != CanaryCut && c.OnCanary != CanaryWarn:
		return fmt.Errorf("on_canary is %.20q, only %q and %q are understood", c.OnCanary, CanaryCut, CanaryWarn)
	case c.UploadBudget < 0:
		return errors.New("upload_budget is negative")
	case len(c.Routes) > maxRoutes:
		return fmt.Errorf("%d routes, at most %d are allowed", len(c.Routes), maxRoutes)
	}
	if c.UpstreamProxy != "" {
		if _, err := parseProxy(c.UpstreamProxy); err != nil {
			return fmt.Errorf("upstream_proxy: %w", err)
		}
	}
	seen := map[string]bool{}
	for i, r := range c.Routes {
		if err := r.validate(); err != nil {
			return fmt.Errorf("route %d: %w", i, err)
		}
		if seen[r.String()] {
			return fmt.Errorf("route %d: %s is there twice", i, r)
		}
		seen[r.String()] = true
	}
	return nil
}

func isMarker(text string) bool {
	return len(text) >= needle.MinLength && len(text) <= 256 && printable.IsASCII(text)
}

func (r Route) validate() error {
	canonical, err := hostname.Canonical(r.Host)
	switch {
	case err != nil:
		return fmt.Errorf("host %.80q: %w", r.Host, err)
	case canonical != r.Host:
		return fmt.Errorf("host %.80q: write it in lower case", r.Host)
	case hostname.IsIP(r.Host):
		return fmt.Errorf("host %q: an address has no certificate; name the host", r.Host)
	case r.Port == 0:
		return fmt.Errorf("host %q has no port", r.Host)
	case slices.Contains(reservedPorts(), r.Port):
		return fmt.Errorf("%s: port %d belongs to the bundle", r, r.Port)
	case r.Private && len(r.AllowPrivate) > 0:
		return fmt.Errorf("%s: private and allow_private exclude each other", r)
	case r.Auth == nil && (r.AllowMint || r.Provider):
		return fmt.Errorf("%s: allow_mint and provider have a meaning only beside auth", r)
	case r.UploadBudget < 0:
		return fmt.Errorf("%s: upload_budget is negative", r)
	}
	for _, prefix := range r.AllowPrivate {
		if !netguard.IsOpenable(prefix) {
			return fmt.Errorf("%s: allow_private %q is no private range in canonical form", r, prefix)
		}
	}
	if err := r.validateRules(); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

func (r Route) validateRules() error {
	if len(r.Methods) == 0 || len(r.Paths) == 0 {
		return errors.New("methods and paths must name something")
	}
	for _, method := range r.Methods {
		if !slices.Contains(knownMethods(), method) {
			return fmt.Errorf("method %.20q is not one of %s", method, strings.Join(knownMethods(), ", "))
		}
	}
	for _, path := range r.Paths {
		if err := urlpath.Check(path); err != nil {
			return fmt.Errorf("path %.80q: %w", path, err)
		}
		if strings.ContainsAny(path, "%?#") {
			return fmt.Errorf("path %.80q: a prefix is plain text without escapes and query", path)
		}
	}
	for _, name := range r.PassHeaders {
		if err := checkPassHeader(name); err != nil {
			return fmt.Errorf("pass_headers %.80q: %w", name, err)
		}
	}
	if r.Auth != nil {
		if err := r.Auth.validate(); err != nil {
			return fmt.Errorf("auth: %w", err)
		}
	}
	if r.UpstreamCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(r.UpstreamCA)) {
		return errors.New("upstream_ca holds no certificate")
	}
	return nil
}

func (a Auth) validate() error {
	switch {
	case !isHeaderName(a.Header):
		return fmt.Errorf("header %.80q is no name of a header in canonical form", a.Header)
	case isTransport(a.Header):
		return fmt.Errorf("header %s belongs to the connection", a.Header)
	case a.Scheme != "" && !schemePattern.MatchString(a.Scheme):
		return fmt.Errorf("scheme %.40q is no word such as Bearer", a.Scheme)
	}
	return nil
}

func checkPassHeader(name string) error {
	switch {
	case !isHeaderName(name):
		return errors.New("it is no name of a header in canonical form")
	case isTransport(name):
		return errors.New("it belongs to the connection")
	case isOverride(name):
		return errors.New("it would replace what was checked")
	case isCredential(name):
		return errors.New("it carries credentials, which the agent must not send")
	}
	return nil
}

func isHeaderName(name string) bool {
	return headerPattern.MatchString(name) && textproto.CanonicalMIMEHeaderKey(name) == name
}

// proxy is the address of the upstream proxy.
type proxy struct {
	host string
	port uint16
}

func (p proxy) String() string { return p.host + ":" + strconv.Itoa(int(p.port)) }

func parseProxy(text string) (proxy, error) {
	address, err := url.Parse(text)
	switch {
	case err != nil:
		return proxy{}, errors.New("it is no URL") // not quoted: it may hold a password
	case address.User != nil:
		return proxy{}, fmt.Errorf("user and password belong into the input %s", ProxyAuthInput)
	case address.Scheme != "http" || address.Opaque != "" || strings.Trim(address.Path, "/") != "" ||
		address.RawQuery != "" || address.Fragment != "":
		return proxy{}, errors.New("only http://host:port is understood")
	}
	host, err := hostname.Canonical(address.Hostname())
	if err != nil {
		return proxy{}, err
	}
	port, err := strconv.ParseUint(address.Port(), 10, 16)
	if err != nil || port == 0 {
		return proxy{}, errors.New("the port is missing or no number from 1 to 65535")
	}
	return proxy{host, uint16(port)}, nil
}

// proxyRanges are where a corporate proxy may be, beside the public addresses.
func proxyRanges() []netip.Prefix {
	return append(netguard.PrivateRanges(), netip.MustParsePrefix("100.64.0.0/10"))
}
