package firewall_test

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/firewall"
	"bottle.internal/tests/fakenet"
)

// key has the form of an access key and belongs to nobody.
const key = "AKIA" + "Q3EGRIGHT5ABCDEF"

// A secret in what can be read is refused, whatever else would be said about the request,
// and neither the answer nor the log repeats it.
func TestSecretsAreRefused(t *testing.T) {
	t.Parallel()
	p := https("a.test")
	p.Hosts = append(p.Hosts, firewall.Host{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain})
	const target, header = "the target holds a secret (gitleaks: aws-access-token)", "a header holds a secret (gitleaks: aws-access-token)"
	encoded := base64.StdEncoding.EncodeToString([]byte("key " + key))
	for request, want := range map[string]string{
		"GET http://deb.test/" + key + " HTTP/1.1\r\nHost: deb.test\r\n\r\n":                                       target,
		"GET http://deb.test/pool/" + encoded + " HTTP/1.1\r\nHost: deb.test\r\n\r\n":                              target,
		"GET http://deb.test/?q=%41KIA" + key[4:] + " HTTP/1.1\r\nHost: deb.test\r\n\r\n":                          target,
		"GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\nX-Odd: " + key + "\r\n\r\n":                            header,
		"GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\nUser-Agent: a " + encoded + "\r\n\r\n":                 header,
		"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nX-Odd: " + key + "\r\n\r\n":                                header,
		"CONNECT " + key + ".evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                            target,
		"GET http://evil.test/" + key + " HTTP/1.1\r\nHost: x\r\n\r\n":                                             target,
		"GET /" + key + " HTTP/1.1\r\nHost: x\r\n\r\n":                                                             target,
		"CONNECT " + key + "@a.test:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                               target,
		key + " http://deb.test/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                      header,
		"GET http://deb.test/" + strings.Repeat("x/", 2000) + " HTTP/1.1\r\nHost: x\r\nA: " + key + "\r\n\r\n":     header,
		"GET http://deb.test/?" + strings.Repeat("%2525", 3000) + " HTTP/1.1\r\nHost: x\r\nA: " + key + "\r\n\r\n": header,
	} {
		w := newWorld(t, p, firewall.Limits{})
		w.place("deb.test", 80, fakenet.Listen(t))
		w.place("a.test", 443, fakenet.Listen(t))
		status, reason, body := w.ask(request)
		if status != http.StatusForbidden || reason != want || body != "bottle: "+want+"\n" {
			t.Errorf("%.60q: %d %q", request, status, reason)
		}
		w.denied("secret", want)
		w.stop()
		for _, hidden := range []string{key, strings.ToLower(key), encoded} {
			if strings.Contains(w.log.String(), hidden) {
				t.Errorf("%.60q: the secret is in the log:\n%s", request, w.log.String())
			}
		}
		if len(w.net.Dialed()) != 0 {
			t.Errorf("%.60q: dialed", request)
		}
	}
}

func TestSecretInAHello(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	client := tls.Client(w.tunnel("a.test:443"), &tls.Config{ServerName: key + ".a.test", InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err == nil {
		t.Error("the tunnel is open")
	}
	w.denied("secret", "a.test:443: the client hello holds a secret (gitleaks: aws-access-token)")
	if strings.Contains(strings.ToLower(w.log.String()), strings.ToLower(key)) {
		t.Errorf("log:\n%s", w.log.String())
	}
}

// What apt, curl and npm say is no secret.
func TestOrdinaryRequestsPass(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{}, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	for _, request := range []string{
		"GET http://deb.test/debian/dists/bookworm/InRelease HTTP/1.1\r\nHost: deb.test\r\nCache-Control: max-age=0\r\n" +
			"User-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\nAccept: text/*\r\n\r\n",
		"GET http://deb.test/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/" + strings.Repeat("9f86d081884c7d65", 4) +
			" HTTP/1.1\r\nHost: deb.test\r\nIf-None-Match: \"5e3a-61d2c0f5a9b40\"\r\n\r\n",
		"GET http://deb.test/pool/main/k/keyutils/libkeyutils1_1.6.3-2_amd64.deb HTTP/1.1\r\nHost: deb.test\r\n" +
			"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n",
	} {
		if status, reason, _ := w.ask(request); status != 200 {
			t.Errorf("%.60q: %d %q", request, status, reason)
		}
	}
}
