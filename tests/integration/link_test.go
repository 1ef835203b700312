//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
)

const megabytes = 100 * 1000 * 1000

// 100 MB down in clear, so that it is the link that is measured and not an emulated
// processor's TLS; the bytes are checked on arrival.
func TestLinkDown(t *testing.T) {
	l := theBottle(t)
	got := l.probeGuest(t, "down", "http://plain.bottle.test/bytes/", fmt.Sprint(megabytes))
	if !strings.HasPrefix(got, fmt.Sprintf("down: %d bytes intact", megabytes)) {
		t.Error(got)
	}
	t.Log(got)
}

// 100 MB up, a half-close that the upstream must see, and then 10 MB down on the half
// that is left.
func TestLinkUpAndHalfClose(t *testing.T) {
	l := theBottle(t)
	const back = megabytes / 10
	got := l.probeGuest(t, "duplex", proxy, "up.bottle.test:8444", fmt.Sprint(megabytes), fmt.Sprint(back))
	for _, want := range []string{"up: " + l.probeHost(t, nil, "hash", fmt.Sprint(megabytes)), fmt.Sprintf("after the half-close: %d bytes intact", back)} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	t.Log(got)
}

// All of the tunnels are open before the first is used.
func TestLinkParallel(t *testing.T) {
	l := theBottle(t)
	before := l.seen(t)
	got := l.probeGuest(t, "parallel", proxy, "up.bottle.test:443", "100", "100000")
	if !strings.HasPrefix(got, "parallel: 100 of 100 intact") {
		t.Error(got)
	}
	if after := l.seen(t); after.Requests != before.Requests+100 {
		t.Errorf("the upstream saw %d requests, want 100", after.Requests-before.Requests)
	}
	t.Log(got)
}
