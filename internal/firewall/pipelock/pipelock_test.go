package pipelock_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/pipelock"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
)

// key has the form of an access key and belongs to nobody.
const key = "AKIA" + "Q3EGRIGHT5ABCDEF"

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole chain: gate, pipelock, egress; and what the gate keeps away from pipelock.
func TestChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, self(t), firewall.Policy{})
	port := w.egress("llm.test")
	w.write("upstream", fmt.Sprintf("127.0.0.2:%d", port))
	w.channel.first = w.inputs(firewall.Policy{Bottle: "dev", Hosts: []firewall.Host{
		routed("llm.test", port), routed("unmapped.test", 443), routed("twice.test", 443),
		plain("mapped.test", 443, firewall.HTTPS), plain("deb.test", 80, firewall.HTTP), plain("blocked.test", 443, firewall.HTTPS),
	}})
	w.start()
	target := fmt.Sprintf("llm.test:%d", port)
	conn, err := w.secure(target, "llm.test")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	_ = conn.Close()
	if status, _, body := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); status != 200 || body != `{"status":"ok","engine":"pipelock","routes":6}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	const lost, elsewhere = ": the bundle's hosts file does not lead it to egress; a new start of the bottle does", ": the bundle's hosts file leads it somewhere else"
	for _, test := range [][2]string{
		{connectTo("evil.test:443"), "403 evil.test:443 is not in the allowlist of this bottle"},
		{connectTo("llm.test:1"), fmt.Sprintf("403 llm.test:1 is not in the allowlist of this bottle: only port %d (https) of that host is", port)},
		{connectTo("127.0.0.2:443"), "403 127.0.0.2:443 is an address: only declared names are allowed"},
		{connectTo("unmapped.test:443"), "403 unmapped.test:443" + lost},
		{connectTo("twice.test:443"), "403 twice.test:443" + elsewhere},
		{connectTo("mapped.test:443"), "403 mapped.test:443" + elsewhere},
		{connectTo("blocked.test:443"), "403 blocked.test:443: pipelock refuses it"},
		{"GET http://llm.test/ HTTP/1.1\r\nHost: x\r\n\r\n", fmt.Sprintf("403 llm.test:80 is not in the allowlist of this bottle: only port %d (https) of that host is", port)},
		{"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n", "404 this is a proxy: only GET /health is answered here"},
		{"GET /fetch?url=http://deb.test/ HTTP/1.1\r\nHost: x\r\n\r\n", "404 this is a proxy: only GET /health is answered here"},
		{"POST http://deb.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", "403 POST is not allowed on a plain http route: only GET and HEAD are"},
		{"GET http://deb.test/" + key + " HTTP/1.1\r\nHost: x\r\n\r\n", "403 the target holds a secret (gitleaks: aws-access-token)"},
		{"GET http://deb.test/ HTTP/1.1\r\nHost: x\r\nX-Pipelock-Agent: " + key + "\r\n\r\n", "403 a header holds a secret (gitleaks: aws-access-token)"},
	} {
		request, want := test[0], test[1]
		status, reason, _ := w.ask(request)
		if text := fmt.Sprint(status, " ", reason); text != want {
			t.Errorf("%.50q: %s\nwant %s", request, text, want)
		}
	}
	if seen := w.read("seen"); seen != fmt.Sprintf("CONNECT %[1]s %[1]s 0\nCONNECT blocked.test:443 blocked.test:443 0\n", target) {
		t.Errorf("pipelock saw:\n%s", seen)
	}
	blocked := w.await(func(e entry) bool { return e.Event == "engine" && e.Kind == "blocked" })
	if blocked.Host != "blocked.test" || blocked.Scanner != "core_dlp" || blocked.Reason != "core DLP match: AWS Access ID (critical) [redacted]" {
		t.Errorf("%+v", blocked)
	}
	if env := w.read("env"); env != "HOME="+w.dir+"\nTMPDIR="+w.dir {
		t.Errorf("pipelock's environment:\n%s", env)
	}
	if strings.Contains(w.log.String(), "s3cret") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

// A plain request is written anew, with its whole URL, for a proxy.
func TestPlainRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, self(t), firewall.Policy{Hosts: []firewall.Host{plain("deb.test", 8080, firewall.HTTP)}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen <- fmt.Sprint(r.RequestURI, " ", r.Host, " ", r.Header.Get("X-Odd"))
		_, _ = io.WriteString(rw, "body")
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	w.write("upstream", listener.Addr().String())
	w.start()
	status, _, body := w.ask("GET http://DEB.test:8080/g%2b%2b?a=b HTTP/1.1\r\nHost: evil.test\r\nX-Odd: 1\r\n\r\n")
	if got := <-seen; status != 200 || body != "body" || got != "http://deb.test:8080/g%2b%2b?a=b deb.test:8080 " {
		t.Errorf("%d %q %q", status, body, got)
	}
}

// New routes are live without a new pipelock; new addresses need one.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, self(t), firewall.Policy{})
	port := w.egress("llm.test")
	w.write("upstream", fmt.Sprintf("127.0.0.2:%d", port))
	w.start()
	target := fmt.Sprintf("llm.test:%d", port)
	if status, _, _ := w.ask(connectTo(target)); status != 403 {
		t.Errorf("before: %d", status)
	}
	next := firewall.Policy{Hosts: []firewall.Host{routed("llm.test", port)}}
	w.channel.later <- w.inputs(next)
	w.await(func(e entry) bool { return e.Event == "reload" && e.Problem == "" })
	// A second start: egress's address was not open before.
	eventually.True(t, "the second start", func() bool { return strings.Count(w.log.String(), `"startup"`) == 2 })
	eventually.Fine(t, eventually.Patience, func() string {
		conn, err := w.secure(target, "llm.test")
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
	next.Hosts = append(next.Hosts, routed("other.test", port))
	w.channel.later <- w.inputs(next)
	w.await(func(e entry) bool { return e.Event == "reload" && strings.Contains(w.log.String(), `"routes":2`) })
	if !strings.Contains(w.read(firewall.PipelockFile), "- other.test\n") {
		t.Error("pipelock has the old file")
	}
	if starts := strings.Count(w.log.String(), `"startup"`); starts != 2 {
		t.Errorf("%d starts", starts)
	}
	other := w.inputs(next)
	other[pipelock.EngineFile] = secret.New(strings.Replace(engineText(t, w.binary), `"sha256":"`, `"sha256":"0`, 1)[:len(engineText(t, w.binary))-1] + `"}`)
	w.channel.later <- other
	w.await(func(e entry) bool { return e.Event == "reload" && strings.HasPrefix(e.Problem, "reading engine.json") })
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	policy := firewall.Policy{Hosts: []firewall.Host{plain("a.test", 443, firewall.HTTPS)}}
	for name, test := range map[string]struct {
		change func(*world)
		want   string
	}{
		"no engine": {func(w *world) { delete(w.channel.first, pipelock.EngineFile) }, "reading engine.json: EOF"},
		"no digest": {func(w *world) { w.channel.first[pipelock.EngineFile] = secret.New(`{"binary":"/bin/true"}`) }, `reading engine.json: sha256 "" is no digest of 64 digits`},
		"another program": {func(w *world) {
			w.channel.first[pipelock.EngineFile] = secret.New(`{"binary":"/dev/null","sha256":"` + strings.Repeat("0", 64) + `"}`)
		}, "checking pipelock: /dev/null has the sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, not " + strings.Repeat("0", 64)},
		"an open directory": {func(w *world) { _ = os.Chmod(w.dir, 0o755) }, "is not a directory that only this user can enter"},
		"a broken policy":   {func(w *world) { w.channel.first[firewall.RoutesFile] = secret.New("{}") }, "reading routes.json: version 0, only 2 is understood"},
		"an open gate":      {func(w *world) { w.daemon.Gate = "0.0.0.0:0" }, `listening on "0.0.0.0:0": only a loopback address and port are allowed, such as 127.0.0.1:8888`},
		"an open pipelock":  {func(w *world) { w.daemon.Listen = "0.0.0.0:0" }, `listening on "0.0.0.0:0": only a loopback address and port are allowed, such as 127.0.0.1:8888`},
		"one that dies": {func(w *world) {
			w.channel.first = w.inputs(firewall.Policy{Hosts: []firewall.Host{plain("dies.test", 443, firewall.HTTPS)}})
		}, `pipelock ended: exit status 3: "Error: this one dies"`},
		"no channel": {func(w *world) { close(w.channel.later) }, "the channel to init ended"},
	} {
		w := newWorld(t, self(t), policy)
		test.change(w)
		err := w.daemon.Run(t.Context(), w.channel, &w.log)
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s", name, err, test.want)
		}
	}
}

// Its death in the middle is the end of the gate. Not parallel: a process that another test forks holds the listener until its exec.
func TestDeathEndsTheGate(t *testing.T) {
	// A pipelock that can be told to end: the fake behind a shell that waits for a file.
	w := newWorld(t, self(t), firewall.Policy{})
	script := filepath.Join(w.dir, "pipelock")
	text := "#!/bin/sh\n" + self(t) + " \"$@\" &\nwhile [ ! -e end ]; do /bin/sleep 0.02; done\nkill $!\nexit 9\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	w.binary = script
	w.channel.first = w.inputs(firewall.Policy{})
	ended := make(chan error, 1)
	go func() { ended <- w.daemon.Run(t.Context(), w.channel, &w.log) }()
	w.await(func(e entry) bool { return e.Event == "ready" })
	w.write("end", "")
	if err := <-ended; err == nil || err.Error() != `pipelock ended: exit status 9: ""` {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", w.daemon.Gate); err == nil {
		t.Error("the gate is still open")
	}
}

func TestParseEngine(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		`{"binary":"/usr/local/bin/pipelock","sha256":"` + digest + `"}`:    "",
		`{"binary":"pipelock","sha256":"` + digest + `"}`:                   `reading engine.json: binary "pipelock" is no clean absolute path`,
		`{"binary":"/a/../b","sha256":"` + digest + `"}`:                    `reading engine.json: binary "/a/../b" is no clean absolute path`,
		`{"binary":"/b","sha256":"` + strings.ToUpper(digest) + `"}`:        `reading engine.json: sha256 "` + strings.ToUpper(digest) + `" is no digest of 64 digits`,
		`{"binary":"/b","sha256":"` + digest + `","args":["--no-sandbox"]}`: `reading engine.json: json: unknown field "args"`,
		`{"binary":"/b","sha256":"` + digest + `"}{}`:                       "reading engine.json: more than one value",
	} {
		_, err := pipelock.ParseEngine([]byte(text))
		if got := fmt.Sprint(errors.Join(err)); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
