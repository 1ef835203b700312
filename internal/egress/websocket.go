package egress

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it; nothing rests on it
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	"bottle.internal/internal/needle"
)

var protocolPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// asksUpgrade reports everything that wants another protocol on this connection.
func asksUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || len(r.Header["Http2-Settings"]) > 0 || hasWord(r.Header["Connection"], "upgrade")
}

func hasWord(values []string, word string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(one), word) {
				return true
			}
		}
	}
	return false
}

// checkWebSocket admits exactly the opening handshake of RFC 6455.
func checkWebSocket(r *http.Request) *Refusal {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	upgrade := r.Header["Upgrade"]
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Method != http.MethodGet:
		return refuse(RuleUpgrade, "a WebSocket begins with GET over HTTP/1.1")
	case len(upgrade) != 1 || !strings.EqualFold(upgrade[0], "websocket") || !hasWord(r.Header["Connection"], "upgrade"),
		len(r.Header["Http2-Settings"]) > 0:
		return refuse(RuleUpgrade, "the connection may be upgraded to a WebSocket only")
	case err != nil || len(key) != 16 || len(r.Header["Sec-Websocket-Key"]) != 1 || r.Header.Get("Sec-Websocket-Version") != "13":
		return refuse(RuleUpgrade, "the WebSocket's key or version is not valid")
	case r.ContentLength != 0:
		return refuse(RuleUpgrade, "a WebSocket begins without a body")
	}
	return nil
}

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	return base64.StdEncoding.EncodeToString(sum[:])
}

// webSocket opens a WebSocket to the route's host and splices it, reading along: without
// extensions, for what is compressed cannot be read.
func (s *Server) webSocket(w http.ResponseWriter, r *http.Request, e *exchange) {
	if refused := checkWebSocket(r); refused != nil {
		s.answerRefusal(w, r, e, refused)
		return
	}
	out, err := s.outbound(w, r, e)
	if err != nil {
		s.answerRefusal(w, r, e, e.uploadRefusal(err))
		return
	}
	key := r.Header.Get("Sec-Websocket-Key")
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", "websocket")
	out.Header.Set("Sec-Websocket-Key", key)
	out.Header.Set("Sec-Websocket-Version", "13")
	if protocols := plainProtocols(r.Header["Sec-Websocket-Protocol"]); protocols != "" {
		out.Header.Set("Sec-Websocket-Protocol", protocols)
	}
	response, err := s.roundTrip(e, out)
	e.endHints()
	if err != nil {
		s.answerRefusal(w, r, e, e.asRefusal(err))
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusOK {
		s.respond(w, r, e, response)
		return
	}
	upstream, refused := e.upgraded(response, key)
	if refused == nil {
		refused = s.judgeAnswer(e, response.Header)
	}
	if refused != nil {
		s.answerRefusal(w, r, e, refused)
		return
	}
	client, err := e.switchProtocols(w, response)
	if err != nil {
		s.logClose(e, refuse(RuleClient, "the agent left"))
		return
	}
	e.status = http.StatusSwitchingProtocols
	s.logClose(e, s.splice(e, client, upstream))
}

// plainProtocols drops the subprotocols that carry credentials, as some SDKs do.
func plainProtocols(values []string) string {
	var plain []string
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); protocolPattern.MatchString(one) && !isCredential(one) {
				plain = append(plain, one)
			}
		}
	}
	return strings.Join(plain, ", ")
}

// upgraded holds the upstream to the handshake that was asked for.
func (e *exchange) upgraded(response *http.Response, key string) (io.ReadWriteCloser, *Refusal) {
	header := response.Header
	upstream, ok := response.Body.(io.ReadWriteCloser)
	switch {
	case !ok, response.StatusCode != http.StatusSwitchingProtocols,
		!strings.EqualFold(header.Get("Upgrade"), "websocket"), !hasWord(header["Connection"], "upgrade"),
		header.Get("Sec-Websocket-Accept") != acceptOf(key):
		return nil, refuse(RuleAnswer, "%s did not accept the WebSocket as it has to", e.route)
	case len(header["Sec-Websocket-Extensions"]) > 0:
		return nil, refuse(RuleAnswer, "%s uses a WebSocket extension that nobody asked for", e.route)
	}
	return upstream, nil
}

func (e *exchange) switchProtocols(w http.ResponseWriter, response *http.Response) (net.Conn, error) {
	header := http.Header{}
	e.route.copyAnswer(header, response.Header)
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "websocket")
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = header.Write(&head)
	head.WriteString("\r\n")
	if _, err := conn.Write(head.Bytes()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	return &earlyConn{Conn: conn, early: bytes.Clone(early)}, nil
}

// earlyConn begins with the bytes that net/http had read ahead.
type earlyConn struct {
	net.Conn
	early []byte
}

// Read implements [io.Reader].
func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// splice copies both ways until one of them ends.
func (s *Server) splice(e *exchange, client net.Conn, upstream io.ReadWriteCloser) *Refusal {
	stop := context.AfterFunc(e.ctx, func() {
		_ = client.Close()
		_ = upstream.Close()
	})
	defer stop()
	ends := make(chan struct{}, 2)
	go func() {
		s.copyFrames(e, upstream, client)
		ends <- struct{}{}
	}()
	go func() {
		s.copyDown(e, client, upstream)
		ends <- struct{}{}
	}()
	<-ends
	_ = client.Close()
	_ = upstream.Close()
	<-ends
	return e.cause()
}

func (s *Server) copyDown(e *exchange, client io.Writer, upstream io.Reader) {
	if e.route.Auth != nil {
		upstream = needle.NewReader(upstream, e.route.secrets())
	}
	upstream = s.watchAnswer(e, upstream)
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	for {
		n, err := upstream.Read(*buffer)
		e.touch()
		if n > 0 {
			if _, err := client.Write((*buffer)[:n]); err != nil {
				return
			}
			e.down.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

// copyFrames judges what the agent says, under its mask.
func (s *Server) copyFrames(e *exchange, upstream io.Writer, client io.Reader) {
	frames := newFrames(e.snap.watch, e.route)
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	for {
		n, err := client.Read(*buffer)
		e.touch()
		if n > 0 {
			if refused := s.judgeFrames(e, frames, (*buffer)[:n]); refused != nil {
				e.cancel(refused)
				return
			}
			if _, err := upstream.Write((*buffer)[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *Server) judgeFrames(e *exchange, f *frames, piece []byte) *Refusal {
	sightings, err := f.feed(piece)
	for _, found := range sightings {
		s.logSighting(e, found)
		if found.block {
			return found.refusal(e.route.Route)
		}
	}
	if err != nil {
		return refuse(RuleUpgrade, "%s: %v", e.route, err)
	}
	e.up.Add(int64(len(piece)))
	return s.spend(e.route, int64(len(piece)))
}
