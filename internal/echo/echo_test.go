package echo_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is an echo upstream that serves; lines are what it prints.
type running struct {
	addr  string
	git   string
	lines chan string
	last  string
	roots *x509.CertPool
}

// token is the credential that api.bottle.test expects.
const token = "0123456789abcdef"

func start(t *testing.T) *running {
	t.Helper()
	return startWith(t, nil)
}

func startWith(t *testing.T, git *echo.Git) *running {
	t.Helper()
	return startBoot(t, func(boot *echo.Bootstrap) { boot.Git = git })
}

// bootstrap is one without repositories.
func bootstrap(t *testing.T) echo.Bootstrap {
	t.Helper()
	boot, _ := bootstrapUnder(t)
	return boot
}

func bootstrapUnder(t *testing.T) (echo.Bootstrap, *ca.Authority) {
	t.Helper()
	authority := fakenet.Authority(t)
	boot := echo.Bootstrap{Listen: "127.0.0.1:0", Credentials: map[string]echo.Credential{
		"api.bottle.test": echo.Expect("Authorization", secret.New("Bearer "+token)),
	}}
	for _, host := range []string{"echo.bottle.test", "api.bottle.test"} {
		leaf, err := authority.Leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		boot.Certs = append(boot.Certs, echo.Cert{Cert: leaf.CertPEM, Key: leaf.KeyPEM})
	}
	return boot, authority
}

func startBoot(t *testing.T, change func(*echo.Bootstrap)) *running {
	t.Helper()
	boot, authority := bootstrapUnder(t)
	change(&boot)
	input, err := boot.Stdin()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(input, []byte(token)) {
		t.Error("the upstream is told the credential itself")
	}
	// Stdin stays open, as the engine's attached stream does.
	stdin, feed := io.Pipe()
	printed, stdout := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int)
	var stderr bytes.Buffer
	go func() {
		code <- echo.Main(ctx, nil, stdin, stdout, &stderr)
		_ = stdout.Close()
	}()
	if _, err := feed.Write(input); err != nil {
		t.Fatal(err)
	}
	r := &running{lines: make(chan string, 16), roots: x509.NewCertPool()}
	go func() {
		defer close(r.lines)
		for scanner := bufio.NewScanner(printed); scanner.Scan(); {
			r.lines <- scanner.Text()
		}
	}()
	r.roots.AppendCertsFromPEM(authority.CertPEM())
	t.Cleanup(func() {
		cancel()
		if got := <-code; got != 0 || stderr.Len() != 0 {
			t.Errorf("exit %d, %q", got, stderr.String())
		}
	})
	var ready struct{ Event, Listen, Git string }
	r.line(t, &ready)
	if ready.Event != "ready" {
		t.Fatalf("first line: %+v", ready)
	}
	r.addr, r.git = ready.Listen, ready.Git
	return r
}

func (r *running) line(t *testing.T, into any) {
	t.Helper()
	select {
	case r.last = <-r.lines:
	case <-time.After(eventually.Patience):
		t.Fatal("no line")
	}
	if err := json.Unmarshal([]byte(r.last), into); err != nil {
		t.Fatalf("%q: %v", r.last, err)
	}
}

func (r *running) client(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: r.roots},
		ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", r.addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

type said struct {
	Event      string
	Time       string
	ServerName string `json:"server_name"`
	Proto      string
	Method     string
	Host       string
	Path       string
	Headers    []string
	Message    string
	Credential string
	BodyBytes  int `json:"body_bytes"`
}

func TestTextAndJSON(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		proto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		r := start(t)
		client := r.client(t, h2)
		body := get(t, client, "POST", "https://echo.bottle.test/a%20b?token=s3cret", map[string]string{"X-Api-Key": "s3cret"}, "12345")
		want := "hello from echo.bottle.test: your request arrived here\n" +
			"request: POST /a%20b over " + proto + ", body of 5 bytes\nhost: echo.bottle.test\n" +
			"header names: Accept-Encoding, Content-Length, User-Agent, X-Api-Key\n"
		if body != want {
			t.Errorf("got\n%s\nwant\n%s", body, want)
		}
		var logged, answered said
		r.line(t, &logged)
		if logged.Event != "request" || logged.Time == "" || logged.ServerName != "echo.bottle.test" || logged.Method != "POST" || logged.Path != "/a%20b" {
			t.Errorf("line: %+v", logged)
		}
		if strings.Contains(r.last+body, "s3cret") {
			t.Errorf("a value came back: %s %s", r.last, body)
		}
		body = get(t, client, "GET", "https://echo.bottle.test/", map[string]string{"Accept": "application/json"}, "")
		if err := json.Unmarshal([]byte(body), &answered); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		r.line(t, &logged)
		if answered.Proto != proto || answered.Message == "" || answered.Event != "" || fmt.Sprint(answered.Headers) != "[Accept Accept-Encoding User-Agent]" {
			t.Errorf("answer: %+v", answered)
		}
	}
}

func get(t *testing.T, client *http.Client, method, url string, header map[string]string, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	r := start(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "echo.bottle.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n")
	}()
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != 400 {
		t.Errorf("control byte: %v, %v", response, err)
	}
	client := r.client(t, false)
	answer := make(chan string, 1)
	go func() {
		request, _ := http.NewRequestWithContext(t.Context(), "POST", "https://echo.bottle.test/", strings.NewReader(strings.Repeat("x", 1<<20+1)))
		response, err := client.Do(request)
		if err != nil {
			answer <- err.Error()
			return
		}
		_ = response.Body.Close()
		answer <- response.Status
	}()
	var logged said
	r.line(t, &logged)
	if got := <-answer; got != "413 Request Entity Too Large" || logged.BodyBytes != 1<<20 {
		t.Errorf("%s, %+v", got, logged)
	}
}

func TestTextIsPlain(t *testing.T) {
	t.Parallel()
	r := start(t)
	conn, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: r.roots, ServerName: "echo.bottle.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET /\xc2\x9b31m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	var logged said
	r.line(t, &logged)
	text, err := io.ReadAll(conn)
	if err != nil || strings.ContainsRune(string(text), '\u009b') || strings.ContainsRune(r.last, '\u009b') {
		t.Errorf("%q, %v", text, err)
	}
}

// TestCredential: the answer says whether the real credential came, and shows none.
func TestCredential(t *testing.T) {
	t.Parallel()
	r := start(t)
	client := r.client(t, false)
	for _, test := range []struct{ host, value, want string }{
		{"api.bottle.test", "Bearer " + token, "the real one"},
		{"api.bottle.test", "Bearer bottle-placeholder", "another one"},
		{"api.bottle.test", "bearer " + token, "another one"}, // the whole value counts
		{"api.bottle.test", token, "another one"},
		{"api.bottle.test", "", "none"},
		{"echo.bottle.test", "Bearer " + token, ""}, // it expects none
	} {
		header := map[string]string{}
		if test.value != "" {
			header["Authorization"] = test.value
		}
		body := get(t, client, "GET", "https://"+test.host+"/v1/", header, "")
		var logged said
		r.line(t, &logged)
		want := ""
		if test.want != "" {
			want = "\ncredential: " + test.want + "\n"
		}
		if logged.Credential != test.want || !strings.HasSuffix(body, want) || strings.Contains(body, "credential:") != (want != "") {
			t.Errorf("%s %q: logged %q, answered\n%s", test.host, test.value, logged.Credential, body)
		}
		if strings.Contains(body+r.last, token) || strings.Contains(body+r.last, "placeholder") {
			t.Errorf("a value came back: %s %s", r.last, body)
		}
	}
	// Two values are not the real one, whatever the first is.
	request, err := http.NewRequestWithContext(t.Context(), "GET", "https://api.bottle.test/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Authorization"] = []string{"Bearer " + token, "x"}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	var logged said
	if r.line(t, &logged); logged.Credential != "another one" {
		t.Errorf("two values: %+v", logged)
	}
}

// TestNames: a name without a certificate gets no handshake.
func TestNames(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, want := range map[string]bool{"echo.bottle.test": true, "API.bottle.test": true, "unlisted.bottle.test": false, "": false} {
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
