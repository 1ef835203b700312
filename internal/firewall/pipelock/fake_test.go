package pipelock_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is a pipelock of its own when it is called like one.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "run" && os.Args[2] == "--config" {
		fakePipelock(os.Args[3], os.Args[5])
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fakePipelock is as much of pipelock as the gate sees. What stands beside its
// configuration tells it where everything leads ("upstream"); it writes what it is asked
// ("seen") and which environment it was given ("env").
func fakePipelock(config, listen string) {
	dir := filepath.Dir(config)
	text, _ := os.ReadFile(config)
	if strings.Contains(string(text), "dies.test") {
		fmt.Fprintln(os.Stderr, "Error: this one dies")
		os.Exit(3)
	}
	_ = os.WriteFile(filepath.Join(dir, "env"), []byte(strings.Join(os.Environ(), "\n")), 0o600)
	fmt.Println(`{"level":"info","event":"startup","listen":"x"}`)
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	fake := &fake{dir: dir, config: config}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go fake.serve(conn)
	}
}

type fake struct {
	dir, config string
	mu          sync.Mutex
}

func (f *fake) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	if request.RequestURI == "/health" {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	f.write("seen", fmt.Sprintf("%s %s %s %d\n", request.Method, request.RequestURI, request.Host, len(request.Header)))
	config, _ := os.ReadFile(f.config)
	host, _, _ := strings.Cut(request.Host, ":")
	if !strings.Contains(string(config), "- "+host+"\n") || host == "blocked.test" {
		fmt.Printf(`{"level":"warn","event":"blocked","method":%q,"url":"http://%s/?token=s3cret","scanner":"core_dlp","reason":"core DLP match: AWS Access ID (critical) s3cret1"}`+"\n", request.Method, host)
		_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	upstream, _ := os.ReadFile(filepath.Join(f.dir, "upstream"))
	to, err := net.Dial("tcp", string(upstream))
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer func() { _ = to.Close() }()
	if request.Method != http.MethodConnect {
		_ = request.WriteProxy(to)
		_, _ = io.Copy(conn, to)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n")
	go func() { _, _ = io.Copy(to, reader) }()
	_, _ = io.Copy(conn, to)
}

func (f *fake) write(name, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = io.WriteString(file, text)
	_ = file.Close()
}
