package requestscan_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/firewall/requestscan"
)

// key has the form of an access key and belongs to nobody.
const key = "AKIA" + "Q3EGRIGHT5ABCDEF"

// opaque is what a key of an unknown service looks like.
const opaque = "q9Zr7Lk2Vx" + "5Tn8Wp3Yb6Md1Hs"

func TestFind(t *testing.T) {
	t.Parallel()
	scanner := &requestscan.Scanner{}
	encoded := base64.StdEncoding.EncodeToString([]byte("x " + key))
	percent := func(text string) string {
		var out strings.Builder
		for _, b := range []byte(text) {
			out.WriteString("%" + hex.EncodeToString([]byte{b}))
		}
		return out.String()
	}
	for name, test := range map[string]struct{ target, rule string }{
		"a package":           {"http://deb.test/pool/main/k/keyutils/libkeyutils1_1.6.3-2_amd64.deb", ""},
		"an index":            {"http://deb.test/dists/stable/main/by-hash/SHA256/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ""},
		"a search":            {"http://deb.test/search?q=api+key&page=2&sort=token", ""},
		"a host":              {"api.example.test:443", ""},
		"in the path":         {"http://deb.test/a/" + key + "/b", "aws-access-token"},
		"in the query":        {"http://deb.test/?x=" + key, "aws-access-token"},
		"in the host":         {"http://" + key + ".test/", "aws-access-token"},
		"escaped once":        {"http://deb.test/?x=" + percent(key), "aws-access-token"},
		"escaped twice":       {"http://deb.test/?x=" + url.QueryEscape(percent(key)), "aws-access-token"},
		"behind a control":    {"http://deb.test/?x=%00%ff" + percent(key) + "%01", "aws-access-token"},
		"base64 in a query":   {"http://deb.test/?x=" + url.QueryEscape(encoded), "aws-access-token"},
		"base64 in a path":    {"http://deb.test/pool/" + encoded, "aws-access-token"},
		"base64url":           {"http://deb.test/pool/" + base64.RawURLEncoding.EncodeToString([]byte("?>"+" "+key)), "aws-access-token"},
		"hex":                 {"http://deb.test/pool/" + hex.EncodeToString([]byte(key)), "aws-access-token"},
		"base64 of base64":    {"http://deb.test/pool/" + base64.URLEncoding.EncodeToString([]byte(encoded)), "aws-access-token"},
		"an excuse beside it": {"http://deb.test/?--mount=type=secret,&api_key=" + opaque, "generic-api-key"},
		"a word of gitleaks":  {"http://deb.test/" + key + "?gitleaks:allow", "aws-access-token"},
	} {
		if rule, err := scanner.Find(requestscan.Views(test.target)...); err != nil || rule != test.rule {
			t.Errorf("%s: %q, %v; want %q", name, rule, err, test.rule)
		}
	}
	if rule, err := scanner.Find("X-Odd: " + key + " gitleaks:allow"); err != nil || rule != "aws-access-token" {
		t.Errorf("with a word of gitleaks: %q, %v", rule, err)
	}
	if _, err := scanner.Find(strings.Repeat("x", 64<<10), "x"); err == nil ||
		err.Error() != "searching for secrets: 65538 bytes, at most 65536 are searched" {
		t.Error(err)
	}
}

// One scanner serves every connection at once.
func TestFindAtOnce(t *testing.T) {
	t.Parallel()
	scanner := &requestscan.Scanner{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if rule, err := scanner.Find("X-Note: " + key); rule != "aws-access-token" || err != nil {
				t.Error(rule, err)
			}
		})
	}
	all.Wait()
}

// No target makes Views panic or grow without a bound, and a key that is there stays
// there.
func FuzzViews(f *testing.F) {
	for _, seed := range []string{"http://deb.test/%41?b=%25%34%31", "%", "%%%2", "%00", strings.Repeat("%25", 30)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		views := requestscan.Views(target)
		size := 0
		for _, view := range views {
			size += len(view)
		}
		if views[0] != target || size > 5*len(target) {
			t.Errorf("%d bytes of %d", size, len(target))
		}
	})
}
