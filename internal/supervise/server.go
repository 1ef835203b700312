package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/journal"
)

const (
	maxBody = 1 << 20
	maxHead = 16 << 10
)

// Config is what a [Server] needs. Zero durations and counts get the default.
type Config struct {
	Public   ask.Public
	Channel  Channel
	Log      io.Writer        // nil drops the lines
	Wait     time.Duration    // for the operator, in one call; default and at most 30 s
	Grace    time.Duration    // for the host, on top of Wait; default 5 s
	Sessions int              // exchanges under way; default 8
	Idle     time.Duration    // of a connection between two requests; default 15 min
	Head     time.Duration    // to receive a request head, and then its body; default 10 s
	Now      func() time.Time // nil: time.Now
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&c.Wait, ask.MaxWait)
	set(&c.Grace, 5*time.Second)
	set(&c.Idle, 15*time.Minute)
	set(&c.Head, 10*time.Second)
	c.Wait = min(c.Wait, ask.MaxWait)
	if c.Sessions == 0 {
		c.Sessions = 8
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Server is the daemon. Make it with [NewServer].
type Server struct {
	config  Config
	channel Channel
	public  atomic.Pointer[ask.Public]
	journal *journal.Journal[line]
	mcp     http.Handler
	slots   chan struct{}
	host    string // the only Host that is answered
}

// NewServer makes a server.
func NewServer(config Config) *Server {
	config = config.withDefaults()
	s := &Server{
		config: config, channel: config.Channel, journal: journal.New[line](config.Log, config.Now),
		slots: make(chan struct{}, config.Sessions),
	}
	s.public.Store(&config.Public)
	tools := s.tools()
	// Stateless: a session would be memory that a restart loses and an agent can fill.
	s.mcp = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxBody, PropagateRequestCancellation: true,
	})
	return s
}

// Serve answers on listener until ctx ends, then closes the listener and every connection
// and returns nil when all exchanges are over. It is called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.host = listener.Addr().String()
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.config.Head,
		IdleTimeout:       s.config.Idle,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// Otherwise net/http itself answers "OPTIONS *" with 200.
		DisableGeneralOptionsHandler: true,
	}
	s.journal.Write(line{Event: eventReady, Listen: s.host, Routes: len(s.public.Load().Routes)})
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	err := server.Serve(listener)
	cancel()
	if !stop() {
		err = nil // the caller ended it
	}
	_ = server.Close()
	for range cap(s.slots) { // every exchange gives its slot back
		s.slots <- struct{}{}
	}
	s.journal.Close()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving supervise: %w", err)
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// net/http reads what a refused request still has to say, and would do so without end.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.Head))
	switch {
	case r.Host != s.host:
		s.deny(w, http.StatusForbidden, "host", "only "+s.host+" is answered")
	case r.Header["Origin"] != nil:
		s.deny(w, http.StatusForbidden, "origin", "web pages are not answered")
	case r.URL.Path == "/health":
		s.health(w, r)
	case r.URL.Path != "/" && r.URL.Path != "/mcp":
		s.deny(w, http.StatusNotFound, "path", "MCP is at / and /mcp")
	default:
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			s.exchange(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			s.deny(w, http.StatusServiceUnavailable, "sessions", fmt.Sprintf("%d calls are under way already", cap(s.slots)))
		}
	}
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.deny(w, http.StatusMethodNotAllowed, "method", "GET only")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, "{\"status\":\"ok\",\"routes\":%d}\n", len(s.public.Load().Routes))
}

func (s *Server) deny(w http.ResponseWriter, status int, rule, reason string) {
	s.journal.Write(line{Event: eventDeny, Rule: rule, Problem: reason})
	http.Error(w, "bottle: "+reason, status)
}

// exchange reads the whole request first, so that a slow one cannot hold a call, and then
// answers it within the time that a decision may take.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		// One batch could ask thousands of questions.
		s.deny(w, http.StatusBadRequest, "batch", "one message at a time")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.config.Wait+2*s.config.Grace)
	defer cancel()
	r = r.WithContext(withExchange(ctx))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	s.mcp.ServeHTTP(w, r)
}

func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		// Or the deadline would end the connection while the operator thinks.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	case errors.As(err, &tooLarge):
		s.deny(w, http.StatusRequestEntityTooLarge, "size", fmt.Sprintf("a message has at most %d bytes", maxBody))
	default:
		s.deny(w, http.StatusBadRequest, "body", "the message did not arrive whole")
	}
	return body, err == nil
}

type exchangeKey struct{}

// withExchange makes ctx findable from the contexts that the SDK detaches from it.
func withExchange(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, ctx)
}

// bound ends with ctx and with the exchange that it belongs to: when the agent hangs up,
// nobody waits for it any longer.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	exchange, ok := ctx.Value(exchangeKey{}).(context.Context)
	if !ok {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(exchange, func() { cancel(context.Cause(exchange)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
