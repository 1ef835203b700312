package gitgate

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"bottle.internal/internal/boundedlisten"
	"bottle.internal/internal/printable"
)

// Bounds of the server.
const (
	maxConns     = 256
	maxHead      = 16 << 10
	headTimeout  = 10 * time.Second
	idleTimeout  = 60 * time.Second
	stallTimeout = 60 * time.Second // without a byte of a body, or of room for an answer
	maxFetchBody = 64 << 20         // inflated: a client that has very many refs
	drainLimit   = 2 << 30          // of a refused push, so that its answer is read
)

var protocolPattern = regexp.MustCompile(`^version=[012]$`)

// turnedAway is the answer to the connection after the last one.
const turnedAway = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n" +
	"Content-Length: 31\r\n\r\ngit-gate: too many connections\n"

// Serve answers on listener until ctx ends, then closes everything, removes what is in
// quarantine and returns nil. It is called once.
func (g *Gate) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.base, g.host = ctx, listener.Addr().String()
	server := &http.Server{
		Handler: g, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: log.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return ctx },
		DisableGeneralOptionsHandler: true,
	}
	g.journal.Write(line{Event: eventReady, Listen: g.host, Remotes: g.remotes()})
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	err := server.Serve(&boundedlisten.Listener{Listener: listener, Slots: make(chan struct{}, maxConns), Answer: turnedAway})
	cancel()
	if !stop() {
		err = nil // the caller ended it
	}
	_ = server.Close()
	g.closing.Lock()
	g.closed = true
	g.closing.Unlock()
	g.running.Wait()
	g.journal.Close()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving git: %w", err)
	}
	return nil
}

// enter counts a request among what Serve waits for.
func (g *Gate) enter() bool {
	g.closing.Lock()
	defer g.closing.Unlock()
	if !g.closed {
		g.running.Add(1)
	}
	return !g.closed
}

// ServeHTTP implements [http.Handler].
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		return
	}
	defer g.running.Done()
	// A web page that got here by rebinding its name has an Origin or another Host.
	if len(r.Header.Values("Origin")) > 0 {
		g.refuse(w, r, refused{http.StatusForbidden, "requests of web pages are not answered"})
		return
	}
	if r.Host != g.host {
		g.refuse(w, r, refused{http.StatusForbidden, "this Host is not answered"})
		return
	}
	path, query, hasQuery := strings.Cut(r.RequestURI, "?")
	if path == "/health" && !hasQuery && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"status":"ok","remotes":%d}`+"\n", *g.remotes())
		return
	}
	g.route(w, r, path, query)
}

// route compares the path as it was sent with what is served: nothing is cleaned.
func (g *Gate) route(w http.ResponseWriter, r *http.Request, path, query string) {
	name, action, _ := strings.Cut(strings.TrimPrefix(path, "/"), ".git/")
	remote, ok := g.config.Load().remotes[name]
	if !ok || path != "/"+name+".git/"+action {
		g.refuse(w, r, refused{http.StatusNotFound, "no such repository"})
		return
	}
	post := r.Method == http.MethodPost && query == ""
	switch {
	case r.Method == http.MethodGet && action == "info/refs" && query == "service=git-upload-pack":
		g.advertiseFetch(w, r, remote)
	case r.Method == http.MethodGet && action == "info/refs" && query == "service=git-receive-pack":
		g.advertisePush(w, r, remote)
	case post && action == "git-upload-pack" && isContent(r, action):
		g.uploadPack(w, r, remote)
	case post && action == "git-receive-pack" && isContent(r, action) && r.Header.Get("Content-Encoding") == "":
		g.receivePack(w, r, remote)
	default:
		g.refuse(w, r, refused{http.StatusNotFound, "only git's smart HTTP protocol is served"})
	}
}

func isContent(r *http.Request, action string) bool {
	return r.Header.Get("Content-Type") == "application/x-"+action+"-request"
}

// refused is an answer that is not git's.
type refused struct {
	status int
	reason string
}

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, why refused) {
	g.journal.Write(line{
		Event: eventDeny, Method: printable.ASCII(r.Method, 20), Path: printable.ASCII(pathOnly(r.RequestURI), 120),
		Status: why.status, Reason: why.reason,
	})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Connection", "close")
	w.WriteHeader(why.status)
	_, _ = io.WriteString(w, "git-gate: "+why.reason+"\n")
}

func pathOnly(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	return path
}

// noStore are the headers of git's own HTTP server.
func noStore(w http.ResponseWriter, content string) {
	w.Header().Set("Content-Type", content)
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	w.Header().Set("Pragma", "no-cache")
}

// gitError tells a git client why there is nothing for it: it prints the text as it is.
func gitError(w http.ResponseWriter, service, text string) {
	noStore(w, "application/x-git-"+service+"-advertisement")
	out := appendPkt(nil, "# service=git-"+service+"\n")
	out = append(out, "0000"...)
	_, _ = w.Write(appendPkt(out, "ERR git-gate: "+text))
}

// body reads a request's body: a client that stalls is given up, and gzip is undone.
func body(w http.ResponseWriter, r *http.Request, limit int64) (io.Reader, error) {
	var in io.Reader = &stallReader{from: r.Body, control: http.NewResponseController(w)}
	switch r.Header.Get("Content-Encoding") {
	case "":
	case "gzip", "x-gzip":
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
		in = unzipped
	default:
		return nil, errors.New("reading the body: unknown encoding")
	}
	return &cappedReader{from: in, left: limit}, nil
}

// errTooLong is the end of a body that is longer than allowed.
var errTooLong = errors.New("the request is too long")

// cappedReader fails after left bytes, where [io.LimitReader] would pretend an end.
type cappedReader struct {
	from io.Reader
	left int64
}

// Read implements [io.Reader].
func (c *cappedReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLong
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// stallReader extends the deadline with each read.
type stallReader struct {
	from    io.Reader
	control *http.ResponseController
}

// Read implements [io.Reader].
func (s *stallReader) Read(p []byte) (int, error) {
	_ = s.control.SetReadDeadline(time.Now().Add(stallTimeout))
	n, err := s.from.Read(p)
	if err != nil {
		_ = s.control.SetReadDeadline(time.Time{}) // what follows is waiting, not reading
	}
	return n, err
}

// stallWriter gives up a client that does not read.
type stallWriter struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

// Write implements [io.Writer] and sends at once.
func (s stallWriter) Write(p []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	n, err := s.to.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}
