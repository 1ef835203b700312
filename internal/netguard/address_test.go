package netguard

import (
	"net/netip"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	ten := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("100.64.0.0/16")}
	// What a public route says, one with address = "private", and one with ranges.
	for _, test := range []struct{ addr, public, private, ranges string }{
		{"1.2.3.4", "", "", ""},
		{"2606:4700::1", "", "", ""},
		{"10.1.2.3", "10.1.2.3 is private", "", ""},
		{"10.2.2.3", "10.2.2.3 is private", "", "10.2.2.3 is private"},
		{"172.16.0.1", "172.16.0.1 is private", "", "172.16.0.1 is private"},
		{"172.31.255.255", "172.31.255.255 is private", "", "172.31.255.255 is private"},
		{"172.32.0.1", "", "", ""},
		{"192.168.1.1", "192.168.1.1 is private", "", "192.168.1.1 is private"},
		{"fd00::1", "fd00::1 is private", "", "fd00::1 is private"},
		{"fc12::1", "fc12::1 is private", "", "fc12::1 is private"},
		{"100.64.0.1", "100.64.0.1 is private", "100.64.0.1 is private", ""},
		{"100.127.255.255", "100.127.255.255 is private", "100.127.255.255 is private", "100.127.255.255 is private"},
	} {
		for kind, want := range map[string]string{"public": test.public, "private": test.private, "ranges": test.ranges} {
			opened := map[string][]netip.Prefix{"private": PrivateRanges(), "ranges": ten}[kind]
			if got := Check(netip.MustParseAddr(test.addr), opened); got != want {
				t.Errorf("%s, %s: %q, want %q", test.addr, kind, got, want)
			}
		}
	}
}

// These are refused whatever a route opens.
func TestGuardNever(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1":         "127.0.0.1 is loopback",
		"127.255.0.2":       "127.255.0.2 is loopback",
		"::1":               "::1 is loopback",
		"0.0.0.0":           "0.0.0.0 is unspecified",
		"0.1.2.3":           "0.1.2.3 is unspecified",
		"::":                ":: is unspecified",
		"169.254.169.254":   "169.254.169.254 is link-local or metadata",
		"169.254.170.2":     "169.254.170.2 is link-local or metadata",
		"fe80::1":           "fe80::1 is link-local",
		"fd00:ec2::254":     "fd00:ec2::254 is metadata",
		"fd20:ce::254":      "fd20:ce::254 is metadata",
		"100.100.100.200":   "100.100.100.200 is metadata",
		"168.63.129.16":     "168.63.129.16 is metadata",
		"192.0.0.192":       "192.0.0.192 is metadata",
		"192.0.0.8":         "192.0.0.8 is reserved",
		"198.18.0.1":        "198.18.0.1 is reserved",
		"198.19.255.255":    "198.19.255.255 is reserved",
		"192.88.99.1":       "192.88.99.1 is a 6to4 relay",
		"192.0.2.1":         "192.0.2.1 is documentation",
		"198.51.100.1":      "198.51.100.1 is documentation",
		"203.0.113.1":       "203.0.113.1 is documentation",
		"224.0.0.1":         "224.0.0.1 is multicast",
		"ff02::1":           "ff02::1 is multicast",
		"240.0.0.1":         "240.0.0.1 is reserved",
		"255.255.255.255":   "255.255.255.255 is reserved",
		"::ffff:10.1.2.3":   "::ffff:10.1.2.3 is a mapped IPv4",
		"::ffff:1.2.3.4":    "::ffff:1.2.3.4 is a mapped IPv4",
		"::127.0.0.1":       "::7f00:1 is an embedded IPv4",
		"64:ff9b::7f00:1":   "64:ff9b::7f00:1 is NAT64",
		"64:ff9b:1::a00:1":  "64:ff9b:1::a00:1 is NAT64",
		"2002:7f00:1::1":    "2002:7f00:1::1 is 6to4",
		"2001::1":           "2001::1 is Teredo",
		"2001:20::1":        "2001:20::1 is reserved",
		"2001:db8::1":       "2001:db8::1 is documentation",
		"3fff::1":           "3fff::1 is documentation",
		"fec0::1":           "fec0::1 is reserved",
		"4000::1":           "4000::1 is reserved",
		"5f00::1":           "5f00::1 is reserved",
		"2606:4700::1%eth0": "it is no plain address",
	} {
		everything := append(openableRanges(), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
		for _, opened := range [][]netip.Prefix{nil, everything} {
			if got := Check(netip.MustParseAddr(addr), opened); got != want {
				t.Errorf("%s: %q, want %q", addr, got, want)
			}
		}
	}
	if got := Check(netip.Addr{}, nil); got != "it is no plain address" {
		t.Errorf("zero address: %q", got)
	}
}
