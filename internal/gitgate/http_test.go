package gitgate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

// raw sends bytes as they are and returns the answer with its body.
func (w *world) raw(request string) (int, string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatalf("%.60q: %v", request, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// Only git's own requests to declared remotes are answered, and nothing to a web page.
func TestWhatIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	host := "Host: " + w.addr + "\r\n"
	refs := "GET /app.git/info/refs?service=git-upload-pack HTTP/1.1\r\n"
	for _, test := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /health HTTP/1.1\r\n" + host, 200, `{"status":"ok","remotes":1}` + "\n"},
		{refs + host, 200, "001e# service=git-upload-pack\n0000"},
		{refs + "Host: localhost\r\n", 403, "git-gate: this Host is not answered\n"},
		{refs + "Host: rebound.example.com\r\n", 403, "git-gate: this Host is not answered\n"},
		{refs + "Host: 127.0.0.1\r\n", 403, "git-gate: this Host is not answered\n"},
		{refs + host + "Origin: http://" + w.addr + "\r\n", 403, "git-gate: requests of web pages are not answered\n"},
		{refs + host + "Origin: null\r\n", 403, "git-gate: requests of web pages are not answered\n"},
		{refs + host + "Origin:\r\n", 403, "git-gate: requests of web pages are not answered\n"},
		{"GET /health HTTP/1.1\r\n" + host + "Origin: x\r\n", 403, "git-gate: requests of web pages are not answered\n"},
		{"GET /health?x HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET / HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET /other.git/info/refs?service=git-upload-pack HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET //app.git/info/refs?service=git-upload-pack HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET /x/../app.git/info/refs?service=git-upload-pack HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET /%61pp.git/info/refs?service=git-upload-pack HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"GET /app.git/info/refs HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/info/refs?service=git-upload-archive HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/HEAD HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/config HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/objects/info/packs HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/../../etc/passwd HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"GET /app.git/info/lfs/objects/batch HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"OPTIONS * HTTP/1.1\r\n" + host, 404, "git-gate: no such repository\n"},
		{"PUT /app.git/git-receive-pack HTTP/1.1\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"POST /app.git/git-receive-pack HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
		{"POST /app.git/git-upload-pack HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n" + host, 404, "git-gate: only git's smart HTTP protocol is served\n"},
	} {
		status, body := w.raw(test.request + "Connection: close\r\n\r\n")
		if status != test.status || !strings.HasPrefix(body, test.body) {
			t.Errorf("%.70q: %d %q, want %d %q", test.request, status, body, test.status, test.body)
		}
	}
	if n := len(w.events(eventDeny)); n < 20 {
		t.Errorf("%d denials in the log", n)
	}
}

// push sends the head of a push and whatever follows it.
func (w *world) push(body string, headers ...string) (int, string) {
	return w.raw("POST /app.git/git-receive-pack HTTP/1.1\r\nHost: " + w.addr + "\r\nContent-Type: application/x-git-receive-pack-request\r\n" +
		strings.Join(append(headers, ""), "\r\n") + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(body)) + body)
}

// A client that is not git: what real git never sends is refused as well.
func TestPushesByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	main := w.head("refs/heads/main")
	dir := w.clone("one")
	w.must(dir, "push", "-q", "origin", "HEAD")
	const caps = "\x00report-status"
	pkts := func(texts ...string) string {
		var b []byte
		for _, text := range texts {
			b = appendPkt(b, text)
		}
		return string(b) + "0000"
	}
	one, two := "refs/heads/bottle/one", "refs/heads/bottle/two"
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{"0000", 200, ""},
		{pkts(main + " " + zeroOID + " " + one + caps), 200, "ng " + one + " deleting is not allowed"},
		{pkts(zeroOID+" "+main+" "+two+caps, zeroOID+" "+main+" "+two), 200, "ng " + two + " it is there twice"},
		{pkts("shallow "+main, zeroOID+" "+main+" "+two+caps), 200, "a shallow clone cannot push"},
		{pkts(zeroOID + " " + main + " " + two + caps + " push-options"), 200, "push options are not allowed"},
		{pkts(zeroOID + " " + main + " " + two + caps + " object-format=sha256"), 200, "object format sha256 is not supported"},
		{pkts(zeroOID + " " + main + " --upload-pack=touch" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " refs/heads/bottle/-x" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " refs/heads/bottle/../main" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " refs/heads/bottle/$(id)" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " HEAD" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " refs/heads/bottle/x.lock" + caps), 200, "its name has characters that are not allowed"},
		{pkts(zeroOID + " " + main + " refs/heads/bottle/" + pushscantest.Token() + caps), 200, "a secret was found in the name of the branch"},
		{pkts(zeroOID+" "+main+" "+two+caps) + "no pack", 200, "the pack is not well-formed"},
		{pkts(zeroOID + " " + main + " " + two + caps), 200, "the pack is not well-formed"},
		{pkts(strings.Repeat("1", 40) + " " + main + " " + one + caps + " atomic"), 200, "ng " + one},
		{pkts(zeroOID + " " + main + " " + two), 400, "misplaced capabilities"},
		{pkts("push-cert\x00" + "report-status"), 400, "a line that is no command"},
		{"zzzz", 400, "bad length of a pkt-line"},
		{"0004", 400, "pkt-line of length 4"},
		{"0001", 400, "pkt-line of length 1"},
		{"00ff", 400, "torn pkt-line"},
		{"", 400, "torn pkt-line"},
	} {
		status, body := w.push(test.body)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%.90q: %d %q, want %d %q", test.body, status, body, test.status, test.want)
		}
	}
	if w.head("refs/heads/main") != main || w.head(one) != main || w.head(two) != "" {
		t.Error("the upstream changed")
	}
	if strings.Contains(w.log.String(), "ghp_") {
		t.Error("the log holds the name of a branch that is a secret")
	}
	// A body of another encoding is not read at all.
	if status, _ := w.push("0000", "Content-Encoding: gzip"); status != 404 {
		t.Errorf("gzip: %d", status)
	}
}

// A small body that inflates to more than a fetch may send is cut off; a shorter one of the
// same kind is answered.
func TestGzipBomb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.must("", "ls-remote", w.url)
	prefix := appendPkt(nil, "ref-prefix "+strings.Repeat("x", 65000)+"\n")
	for prefixes, want := range map[int]bool{10: true, 1 + maxFetchBody/len(prefix): false} {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = z.Write(append(appendPkt(nil, "command=ls-refs\n"), "0001"...))
		_, _ = z.Write(appendPkt(nil, "ref-prefix refs/heads/\n"))
		for range prefixes {
			_, _ = z.Write(prefix)
		}
		_, _ = io.WriteString(z, "0000")
		_ = z.Close()
		status, body := w.raw("POST /app.git/git-upload-pack HTTP/1.1\r\nHost: " + w.addr +
			"\r\nContent-Type: application/x-git-upload-pack-request\r\nContent-Encoding: gzip\r\nGit-Protocol: version=2\r\n" +
			fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", b.Len()) + b.String())
		if strings.Contains(body, "refs/heads/main") != want {
			t.Errorf("%d long prefixes, answered: want %t: %d %.100q", prefixes, want, status, body)
		}
	}
}

func TestFetchWithEveryProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	for _, version := range []string{"0", "1", "2"} {
		out := w.must("", "-c", "protocol.version="+version, "ls-remote", w.url)
		if !strings.Contains(out, "refs/heads/main") {
			t.Errorf("version %s:\n%s", version, out)
		}
		w.must("", "-c", "protocol.version="+version, "clone", "-q", w.url, w.dir+"/v"+version)
	}
	w.must("", "clone", "-q", "--filter=blob:none", w.url, w.dir+"/partial")
	w.must("", "clone", "-q", "--depth=1", w.url, w.dir+"/depth")
}
