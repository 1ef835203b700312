package firewall

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// What is taken for a target is read in the same way by net/url, which stands for every
// other reader; a host is in canonical form.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"a.test:443", "http://a.test", "http://a.test:80/x?y=%41", "http://a.test?x", "http://a.test:080/", "http://u@a.test/",
		"http://a.test/\\evil.test", "http://a.test:80:80/", "http://a.test\t/", "http:/a.test/", "http:///a.test", "http://[::1]/",
		"http://a.test#x", "0x7f.1:1", "http://a.test/%zz", "a.test:443@evil.test:80", "HTTP://a.test/", "http://a.test:65536/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if host, port, err := parseAuthority(text, 0); err == nil {
			agree(t, "http://"+text, Target{Host: host, Port: port})
		}
		target, err := parseURL(text)
		if err != nil {
			return
		}
		agree(t, text, target)
		if len(text) > maxURL || strings.ContainsAny(text, "#@ \r\n\x00") && !strings.Contains(target.Path+target.Query, "@") {
			t.Errorf("%q was taken", text)
		}
	})
}

func agree(t *testing.T, text string, target Target) {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		return // a broken escape in a path, which Decide refuses later
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	if !strings.EqualFold(parsed.Hostname(), target.Host) || port != strconv.Itoa(int(target.Port)) ||
		parsed.User != nil || target.Query != parsed.RawQuery || target.Host != strings.ToLower(target.Host) {
		t.Errorf("%q: read as %+v, by net/url as %+v", text, target, parsed)
	}
}
