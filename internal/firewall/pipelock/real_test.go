package pipelock_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/firewall"
	"bottle.internal/tests/eventually"
)

// inside writes a pipelock that sees the hosts file of the test, and a nameserver that does
// not answer, as its own. A mount namespace needs root.
func inside(t *testing.T, w *world, bin string) string {
	t.Helper()
	w.write("resolv.conf", "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
	script := filepath.Join(w.dir, "pipelock")
	text := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/unshare -m /bin/sh -c '/bin/mount --bind %[1]s/hosts /etc/hosts && "+
		"/bin/mount --bind %[1]s/resolv.conf /etc/resolv.conf && exec %[2]s \"$@\"' pipelock \"$@\"\n", w.dir, bin)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// The real pipelock between gate and egress. PIPELOCK_BIN names it; this repository has no
// way to make one.
func TestRealChain(t *testing.T) {
	bin := os.Getenv("PIPELOCK_BIN")
	switch {
	case bin == "":
		t.Skip("PIPELOCK_BIN names no pipelock 2.3.0")
	case os.Geteuid() != 0:
		t.Skip("a hosts file of its own needs root")
	}
	w := newWorld(t, self(t), firewall.Policy{})
	w.binary = inside(t, w, bin)
	port := w.egress("llm.test")
	llm := routed("llm.test", port)
	first := firewall.Policy{Hosts: []firewall.Host{llm, plain("lost.test", 443, firewall.HTTPS), plain("deb.test", 80, firewall.HTTP)}}
	w.channel.first = w.inputs(first)
	w.start()
	target := fmt.Sprintf("llm.test:%d", port)
	echo := func(host string) error {
		conn, err := w.secure(fmt.Sprintf("%s:%d", host, port), "llm.test")
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		text := strings.Repeat("all the way ", 100000)
		go func() { _, _ = io.WriteString(conn, text) }()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
			return fmt.Errorf("%d bytes, %w", len(got), err)
		}
		return nil
	}
	if err := echo("llm.test"); err != nil {
		t.Fatalf("%v\n%s", err, w.log.String())
	}
	w.await(func(e entry) bool { return e.Event == "allow" && e.Host == "llm.test" })
	if _, err := w.secure(target, "evil.test"); err == nil {
		t.Error("TLS to another host than CONNECT named")
	}
	for request, want := range map[string]string{
		connectTo("evil.test:443"):                             "403 evil.test:443 is not in the allowlist of this bottle",
		connectTo("lost.test:443"):                             "403 lost.test:443: pipelock refuses it",
		"GET http://deb.test/x HTTP/1.1\r\nHost: x\r\n\r\n":    "403 ",
		"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":             "404 this is a proxy: only GET /health is answered here",
		"GET http://127.0.0.1:9990/stats HTTP/1.1\r\n\r\n\r\n": "400 ",
	} {
		status, reason, body := w.ask(request)
		if text := fmt.Sprint(status, " ", reason); text != want {
			t.Errorf("%.50q: %s %s\nwant %s", request, text, body, want)
		}
	}
	blocked := w.await(func(e entry) bool { return e.Event == "engine" && e.Kind == "blocked" && e.Host == "lost.test" })
	if blocked.Scanner != "ssrf" || strings.Contains(blocked.Reason, "127.0.0.1") {
		t.Errorf("%+v", blocked)
	}
	// Another host, by a reload that pipelock takes while it runs.
	other := routed("other.test", port)
	w.channel.later <- w.inputs(firewall.Policy{Hosts: append(first.Hosts, other)})
	w.await(func(e entry) bool { return e.Event == "reload" && e.Problem == "" })
	eventually.True(w.t, "the other host", func() bool {
		status, _, _ := w.ask(connectTo(fmt.Sprintf("other.test:%d", port)))
		return status == 200
	})
	if starts := strings.Count(w.log.String(), `"startup"`); starts != 1 {
		t.Errorf("%d starts", starts)
	}
	// Without any routed host egress's address is closed again: a new start.
	w.channel.later <- w.inputs(firewall.Policy{Hosts: first.Hosts[1:]})
	eventually.True(w.t, "the second start", func() bool { return strings.Count(w.log.String(), `"startup"`) == 2 })
	eventually.True(w.t, "health", func() bool {
		status, _, _ := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		return status == 200
	})
	if status, _, _ := w.ask(connectTo(target)); status != 403 {
		t.Errorf("a host that was taken away: %d", status)
	}
}
