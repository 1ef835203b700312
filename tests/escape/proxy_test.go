//go:build integration && linux

package escape

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/integration/rig"
)

// upAddress is where the container beside the bundle is.
func (s *scene) upAddress(t *testing.T) string {
	t.Helper()
	info, err := s.beside.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NetworkSettings.Networks[bundle.KindNetwork.Name(s.id)].IPAddress.String()
}

// fromBundle reaches targets from the one who is to refuse them, once for all who share it.
func (s *scene) fromBundle(t *testing.T, targets ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		return "reached from the bundle", rig.DialFromBundle(t.Context(), s.engine, s.id, targets...)
	})
}

// raw says pieces to the proxy, byte for byte.
func raw(pieces ...string) attack {
	return attack{Probe: probe.Probe{Kind: "say", Target: proxy}, Say: pieces}
}

func connectTo(target string) string {
	return "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
}

// spellings of live targets that the bottle does not have.
func spellings(t *testing.T, s *scene) {
	address := s.upAddress(t)
	ip := net.ParseIP(address).To4()
	mine := s.addresses(t, s.id)
	alive := "alive.bottle.test:443"
	const hit = "beside tcp 443"
	reached := s.fromBundle(t, alive, net.JoinHostPort(address, "443"), "rebind.bottle.test:443", "unlisted.bottle.test:443")
	inside := s.fromBundle(t, "127.0.0.1:8888", "127.0.0.1:9420", "127.0.0.2:443", mine.bundle+":7070")
	var list []attempt
	add := func(what, target, counter string, control func() (string, error)) {
		list = append(list, attempt{
			name: "CONNECT " + what + ": " + fmt.Sprintf("%q", target), attack: raw(connectTo(target)),
			control: control, counter: counter, once: true, saying: "4", expected: "4xx",
		})
	}
	number := uint32(ip[0])<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
	for _, c := range []struct{ what, target string }{
		{"another name", alive},
		{"an echo that is not declared", "unlisted.bottle.test:443"},
		{"an address", address + ":443"},
		{"decimal", fmt.Sprintf("%d:443", number)},
		{"octal", fmt.Sprintf("0%o.0%o.0%o.0%o:443", ip[0], ip[1], ip[2], ip[3])},
		{"hex", fmt.Sprintf("0x%x:443", number)},
		{"hex parts", fmt.Sprintf("0x%x.0x%x.0x%x.0x%x:443", ip[0], ip[1], ip[2], ip[3])},
		{"three parts", fmt.Sprintf("%d.%d.%d:443", ip[0], ip[1], int(ip[2])<<8|int(ip[3]))},
		{"IPv4-mapped", "[::ffff:" + address + "]:443"},
		{"IPv4-mapped in hex", fmt.Sprintf("[::ffff:%x:%x]:443", number>>16, number&0xffff)},
		{"NAT64", "[64:ff9b::" + address + "]:443"},
		{"zone", "[::ffff:" + address + "%25eth0]:443"},
		{"address with a trailing dot", address + ".:443"},
		{"trailing dot", "alive.bottle.test.:443"},
		{"uppercase", "ALIVE.BOTTLE.TEST:443"},
		{"NUL behind", "up.bottle.test\x00.alive.bottle.test:443"},
		{"NUL before", "alive.bottle.test\x00.up.bottle.test:443"},
		{"percent", "%61live.bottle.test:443"},
		{"percent NUL", "alive.bottle.test%00.up.bottle.test:443"},
		{"userinfo", "up.bottle.test@alive.bottle.test:443"},
		{"userinfo with port", "up.bottle.test:443@alive.bottle.test:443"},
		{"full-width", "ａlive.bottle.test:443"},
		{"ideographic dots", "alive。bottle。test:443"},
		{"dotless i", "alıve.bottle.test:443"},
		{"soft hyphen", "al\u00adive.bottle.test:443"},
		{"backslash", `alive.bottle.test\.up.bottle.test:443`},
		{"fragment", "alive.bottle.test#up.bottle.test:443"},
		{"query", "alive.bottle.test?up.bottle.test:443"},
		{"suffix", "alive.bottle.test.up.bottle.test:443"},
		{"prefix", "up.bottle.test.alive.bottle.test:443"},
		{"declared name with a letter more", "xup.bottle.test:443"},
		{"tab", "alive.bottle.test\t:443"},
		{"list of hosts", "up.bottle.test:443,alive.bottle.test:443"},
		{"list of ports", "up.bottle.test:443,8443"},
		{"leading zeros of the port", "alive.bottle.test:00443"},
		{"port over 65535", "alive.bottle.test:65979"},
		{"a name that turns to a private address", "rebind.bottle.test:443"},
	} {
		add(c.what, c.target, hit, reached)
	}
	for _, target := range []string{
		"127.0.0.1:8888", "127.1:8888", "2130706433:8888", "0x7f000001:8888", "localhost:8888", "[::1]:8888", "0:8888", "0.0.0.0:8888",
		"127.0.0.1:9420", "127.0.0.2:443", mine.bundle + ":7070", "bundle:7070",
	} {
		add("into the bundle", target, "", inside)
	}
	s.attempts(t, list)
}

// tricks are about the form of a request. Each tries to bring a second target past the
// first, which is allowed.
func tricks(t *testing.T, s *scene) {
	const (
		hostAlive = "beside host alive.bottle.test"
		hidden    = "beside tcp 8443"
	)
	address := s.upAddress(t)
	asHost := sync.OnceValues(func() (string, error) { return s.asksFor(t, address, "alive.bottle.test") })
	port := s.fromBundle(t, "up.bottle.test:8443", "alive.bottle.test:8443")
	up := connectTo("up.bottle.test:443")
	other := connectTo("alive.bottle.test:8443")
	getAlive := "GET http://alive.bottle.test/bytes/1 HTTP/1.1\r\nHost: alive.bottle.test\r\n\r\n"
	plain := "GET http://plain.bottle.test/bytes/1 HTTP/1.1\r\n"
	const plainHost = "Host: plain.bottle.test\r\n"
	var list []attempt
	add := func(name, counter string, control func() (string, error), pieces ...string) {
		list = append(list, attempt{name: name, attack: raw(pieces...), counter: counter, control: control, once: true, silent: true, expected: "not reached, whatever it answers"})
	}
	add("CONNECT to a port that is not declared", hidden, port, connectTo("up.bottle.test:8443"))
	add("CONNECT with a list of ports", hidden, port, connectTo("up.bottle.test:443,8443"))
	add("two CONNECTs in one write", hidden, port, up+other)
	add("a second CONNECT in the tunnel", hidden, port, up, other)
	add("CONNECT with a body that is a CONNECT", hidden, port, fmt.Sprintf("CONNECT up.bottle.test:443 HTTP/1.1\r\nHost: up.bottle.test:443\r\nContent-Length: %d\r\n\r\n%s", len(other), other))
	add("CONNECT with a chunked body", hidden, port, fmt.Sprintf("CONNECT up.bottle.test:443 HTTP/1.1\r\nHost: up.bottle.test:443\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(other), other))
	add("CONNECT, Host of another", hidden, port, "CONNECT up.bottle.test:443 HTTP/1.1\r\nHost: alive.bottle.test:8443\r\n\r\n")
	add("CONNECT with two Hosts", hidden, port, "CONNECT up.bottle.test:443 HTTP/1.1\r\nHost: up.bottle.test:443\r\nHost: alive.bottle.test:8443\r\n\r\n")
	add("CONNECT to a URL", hidden, port, "CONNECT https://alive.bottle.test:8443 HTTP/1.1\r\nHost: up.bottle.test:443\r\n\r\n")
	add("CONNECT, HTTP/1.0, no Host", hidden, port, "CONNECT alive.bottle.test:8443 HTTP/1.0\r\n\r\n")
	add("connect in small letters", hidden, port, "connect alive.bottle.test:8443 HTTP/1.1\r\nHost: alive.bottle.test:8443\r\n\r\n")
	add("CONNECT, lines end in LF", hidden, port, "CONNECT alive.bottle.test:8443 HTTP/1.1\nHost: up.bottle.test:443\n\n")
	add("CONNECT to 443, then plain HTTP", hostAlive, asHost, up, "GET / HTTP/1.1\r\nHost: alive.bottle.test\r\n\r\n")
	add("CONNECT to 443, then a plain absolute form", hostAlive, asHost, up, getAlive)
	add("absolute form to another host", hostAlive, asHost, getAlive)
	add("absolute form, Host of another", hostAlive, asHost, plain+"Host: alive.bottle.test\r\n\r\n")
	add("absolute form, two Hosts", hostAlive, asHost, plain+plainHost+"Host: alive.bottle.test\r\n\r\n")
	add("absolute form, folded Host", hostAlive, asHost, plain+"Host: plain.bottle.test\r\n alive.bottle.test\r\n\r\n")
	add("absolute form, folded line before Host", hostAlive, asHost, plain+"X: y\r\n Host: alive.bottle.test\r\n"+plainHost+"\r\n")
	add("absolute form, userinfo", hostAlive, asHost, "GET http://plain.bottle.test@alive.bottle.test/ HTTP/1.1\r\n"+plainHost+"\r\n")
	add("origin form, Host of another", hostAlive, asHost, "GET /bytes/1 HTTP/1.1\r\nHost: alive.bottle.test\r\n\r\n")
	add("a second request on the connection", hostAlive, asHost, plain+plainHost+"\r\n", getAlive)
	add("two requests in one write", hostAlive, asHost, plain+plainHost+"\r\n"+getAlive, "")
	add("smuggled: Content-Length and chunked", hostAlive, asHost, fmt.Sprintf("POST http://plain.bottle.test/bytes/1 HTTP/1.1\r\n%sContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", plainHost, 5+len(getAlive), getAlive))
	add("smuggled: two Content-Lengths", hostAlive, asHost, fmt.Sprintf("POST http://plain.bottle.test/bytes/1 HTTP/1.1\r\n%sContent-Length: 0\r\nContent-Length: %d\r\n\r\n%s", plainHost, len(getAlive), getAlive))
	add("smuggled: a header with CR alone", hostAlive, asHost, plain+plainHost+"X: y\rHost: alive.bottle.test\r\n\r\n")
	add("HTTP/2 without TLS", hostAlive, asHost, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	s.attempts(t, list)
}

// asksFor reaches the container beside with a Host, and with a TLS name, of its own choice.
func (s *scene) asksFor(t *testing.T, address, name string) (string, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for _, url := range []string{"http://" + address + "/bytes/1", "https://" + address + "/bytes/1"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		request.Host = name
		response, err := client.Do(request)
		if err != nil {
			return "", err
		}
		_ = response.Body.Close()
	}
	return "asked for by the host", nil
}

// mismatch says one name to the firewall, and another in TLS or in the request.
func mismatch(t *testing.T, s *scene) {
	const named = "beside name alive.bottle.test"
	address := s.upAddress(t)
	asName := sync.OnceValues(func() (string, error) { return s.asksFor(t, address, "alive.bottle.test") })
	hello := func(target, name string, head ...string) attack {
		return attack{Probe: probe.Probe{Kind: "hello", Target: target, Via: proxy}, Say: append([]string{name}, head...)}
	}
	get := func(path, host string) []string {
		return []string{"GET " + path + " HTTP/1.1", "Host: " + host, "Connection: close"}
	}
	const up, api = "up.bottle.test:443", "api.bottle.test:443"
	none := func() (string, error) { return "the same with the right name, above", nil }
	s.attempts(t, []attempt{
		{name: "TLS with the right name", attack: hello(up, "up.bottle.test", get("/bytes/1", "up.bottle.test")...), reaches: true, counter: "beside host up.bottle.test"},
		{name: "routed, with the right names", attack: hello(api, "api.bottle.test", get("/v1/x", "api.bottle.test")...), reaches: true},
		{name: "TLS name of another", attack: hello(up, "alive.bottle.test", get("/", "alive.bottle.test")...), control: asName, counter: named, once: true, saying: "handshake: "},
		{name: "TLS name with another in front", attack: hello(up, "alive.up.bottle.test", get("/", "up.bottle.test")...), control: none, saying: "handshake: "},
		{name: "TLS without a name", attack: hello(up, "", get("/", "up.bottle.test")...), control: none, saying: "handshake: "},
		{name: "routed: Host of another route", attack: hello(api, "api.bottle.test", get("/v1/x", "open.bottle.test")...), control: none, saying: "421", expected: "421"},
		{name: "routed: Host of an undeclared name", attack: hello(api, "api.bottle.test", get("/v1/x", "unlisted.bottle.test")...), control: none, saying: "421", expected: "421"},
		{name: "routed: absolute form of another", attack: hello(api, "api.bottle.test", get("https://unlisted.bottle.test/v1/x", "api.bottle.test")...), control: none, saying: "4", expected: "4xx"},
		{name: "routed: TLS name of another route", attack: hello(api, "open.bottle.test", get("/v1/x", "open.bottle.test")...), control: none, saying: "handshake: "},
		{name: "routed: a path that is not allowed", attack: hello(api, "api.bottle.test", get("/v2/x", "api.bottle.test")...), control: none, saying: "403", expected: "403"},
		{name: "routed: a path that climbs", attack: hello(api, "api.bottle.test", get("/v1/../v2/x", "api.bottle.test")...), control: none, saying: "4", expected: "4xx"},
		{name: "routed: a method that is not allowed", attack: hello(api, "api.bottle.test", "DELETE /v1/x HTTP/1.1", "Host: api.bottle.test", "Connection: close"), control: none, saying: "403", expected: "403"},
	})
	s.redirect(t, address)
}

// redirect: an allowed host sends the agent to another. It may follow, and is refused.
func (s *scene) redirect(t *testing.T, address string) {
	r := row{probe: "an allowed host redirects to another", expected: "302, then refused"}
	before := s.counts(t)
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialAlways(dialer, net.JoinHostPort(address, "80"))}}
	response, err := client.Get("http://plain.bottle.test/to/alive.bottle.test")
	problem := ""
	if err != nil {
		t.Fatalf("the control: %v", err)
	}
	_ = response.Body.Close()
	const counter = "beside host alive.bottle.test"
	armed := s.counts(t)
	if response.StatusCode != http.StatusOK || armed[counter] != before[counter]+1 {
		problem = "the control was not counted"
	}
	r.control = "followed from the host to the other, counted"
	said := s.in(t, s.id, "", "curl -sS -L -o /dev/null -w '%{num_redirects} followed, %{http_code}' http://plain.bottle.test/to/alive.bottle.test")
	after := s.counts(t)
	r.observed = fmt.Sprintf("%s; %d came", strings.TrimSpace(said.Stdout+said.Stderr), after[counter]-armed[counter])
	if problem == "" && (after[counter] != armed[counter] || !strings.HasPrefix(r.observed, "1 followed, 403")) {
		problem = "it was not refused"
	}
	if problem == "" && after["beside host plain.bottle.test"] != armed["beside host plain.bottle.test"]+1 {
		problem = "the allowed host was not asked"
	}
	table.add(t, r, problem)
}
