package hostname_test

import (
	"net/netip"
	"strings"
	"testing"

	"bottle.internal/internal/urlpart/hostname"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for spelling, want := range map[string]string{
		"api.example.test":                      "api.example.test",
		"API.Example.TEST":                      "api.example.test",
		"xn--bcher-kva.test":                    "xn--bcher-kva.test",
		"a-b.1x.test":                           "a-b.1x.test",
		"1.2.3.4.test":                          "1.2.3.4.test",
		"0xyz":                                  "0xyz",
		"echo":                                  "echo",
		"192.168.1.20":                          "192.168.1.20",
		long + ".test":                          long + ".test",
		strings.Repeat(long+".", 3) + long[:61]: strings.Repeat(long+".", 3) + long[:61],
	} {
		if got, err := hostname.Canonical(spelling); got != want || err != nil {
			t.Errorf("Canonical(%q) = %q, %v; want %q", spelling, got, err, want)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	for spelling, want := range map[string]hostname.Problem{
		"":                        hostname.Empty,
		strings.Repeat("a.", 127): hostname.TooLong,
		"a\x00.test":              hostname.Control,
		"a.test\r\nHost: b.test":  hostname.Control,
		"a b.test":                hostname.Control,
		"a\x7f.test":              hostname.Control,
		"bücher.test":             hostname.NonASCII,
		"а.test":                  hostname.NonASCII, // Cyrillic
		"a.test\xff":              hostname.NonASCII,
		"user@a.test":             hostname.UserInfo,
		"user:pass@a.test":        hostname.UserInfo,
		"a%2etest":                hostname.Percent,
		"[::1]":                   hostname.IPv6,
		"::ffff:127.0.0.1":        hostname.IPv6,
		"a.test:443":              hostname.IPv6,
		"a.test.":                 hostname.TrailingDot,
		"127.0.0.1.":              hostname.TrailingDot,
		".a.test":                 hostname.BadLabel,
		"a..test":                 hostname.BadLabel,
		"-a.test":                 hostname.BadLabel,
		"a-.test":                 hostname.BadLabel,
		"a_b.test":                hostname.BadLabel,
		"*.test":                  hostname.BadLabel,
		"a.test/x":                hostname.BadLabel,
		`a.test\x`:                hostname.BadLabel,
		strings.Repeat("a", 64):   hostname.BadLabel,
		"2130706433":              hostname.NumericLabel,
		"017700000001":            hostname.NumericLabel,
		"0x7f000001":              hostname.NumericLabel,
		"0x":                      hostname.NumericLabel,
		"0X7F.1":                  hostname.NumericLabel,
		"127.1":                   hostname.NumericLabel,
		"0177.0.0.1":              hostname.NumericLabel,
		"127.0.0.0x1":             hostname.NumericLabel,
		"1.2.3.256":               hostname.NumericLabel,
		"1.2.3.4.5":               hostname.NumericLabel,
		"api.test.8":              hostname.NumericLabel,
	} {
		if got, err := hostname.Canonical(spelling); err != want {
			t.Errorf("Canonical(%q) = %q, %v; want %v", spelling, got, err, want)
		}
	}
}

func TestIsIP(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"10.0.0.1": true, "a.test": false, "::1": false, "01.2.3.4": false, "1.2.3": false} {
		if got := hostname.IsIP(host); got != want {
			t.Errorf("IsIP(%q) = %v", host, got)
		}
	}
}

// What passes is stable, plain, and read the same way by everybody.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"a.test", "127.1", "0x7f.1", "A.TEST", "a.test.", "1.2.3.4", "[::1]", "xn--a.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spelling string) {
		host, err := hostname.Canonical(spelling)
		if err != nil {
			return
		}
		if !strings.EqualFold(host, spelling) {
			t.Errorf("%q became %q", spelling, host)
		}
		if again, err := hostname.Canonical(host); again != host || err != nil {
			t.Errorf("%q is not stable: %q, %v", host, again, err)
		}
		if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Errorf("%q holds odd bytes", host)
		}
		last := host[strings.LastIndexByte(host, '.')+1:]
		if _, err := netip.ParseAddr(host); err != nil && strings.Trim(last, "0123456789") == "" {
			t.Errorf("%q could be taken for an address", host)
		}
	})
}
