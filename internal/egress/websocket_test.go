package egress_test

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/egress"
)

const wsKey = "dGhlIHNhbXBsZSBub25jZQ=="

func handshake(more string) string {
	return "GET /socket HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " + wsKey +
		"\r\nSec-WebSocket-Version: 13\r\n" + more + "\r\n"
}

// frame is a masked frame of a client.
func frame(opcode byte, text string) []byte {
	out := []byte{0x80 | opcode, 0x80}
	switch {
	case len(text) < 126:
		out[1] |= byte(len(text))
	case len(text) < 1<<16:
		out[1] |= 126
		out = binary.BigEndian.AppendUint16(out, uint16(len(text)))
	default:
		out[1] |= 127
		out = binary.BigEndian.AppendUint64(out, uint64(len(text)))
	}
	mask := []byte{0x12, 0x34, 0x56, 0x78}
	out = append(out, mask...)
	for i := range len(text) {
		out = append(out, text[i]^mask[i%4])
	}
	return out
}

func wsAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// socket is an upstream that accepts and then does as told.
func (w *world) socket(accept string, more string, then func(io.ReadWriter, *http.Request)) {
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			w.t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept+"\r\n"+more+"\r\n")
		then(buffered, r)
		_ = buffered.Flush()
	})
}

func socketRoute() egress.Route {
	r := bearer("api.test")
	r.WebSocket = true
	return r
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, socketRoute())
	closed := make(chan string, 1)
	w.socket(wsAccept(wsKey), "Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=b\r\nX-Echo: "+token+"\r\n", func(rw io.ReadWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("Sec-Websocket-Extensions") != "" ||
			r.Header.Get("Sec-Websocket-Protocol") != "chat" || r.ProtoMajor != 1 || r.Header.Get("Cookie") != "" {
			t.Errorf("upstream saw %v", r.Header)
		}
		got := make([]byte, len(frame(1, "hello")))
		_, _ = io.ReadFull(rw, got)
		if string(got) != string(frame(1, "hello")) {
			t.Errorf("upstream read %q", got)
		}
		answer := "you sent " + token
		_, _ = rw.Write(append([]byte{0x81, byte(len(answer))}, answer...))
		_ = rw.(*bufio.ReadWriter).Flush()
		rest, _ := io.ReadAll(rw)
		closed <- string(rest)
	})
	conn := w.raw("api.test", handshake("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat, openai-insecure-api-key.sk-mine\r\nCookie: a=b\r\n"))
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("Sec-Websocket-Accept") != wsAccept(wsKey) ||
		response.Header.Get("Set-Cookie") != "" || strings.Contains(response.Header.Get("X-Echo"), token) {
		t.Fatalf("%+v, %v", response, err)
	}
	_, _ = conn.Write(frame(1, "hello"))
	answer := make([]byte, 2+9+len(token))
	_, _ = io.ReadFull(reader, answer)
	if string(answer[2:21]) != "you sent [redacted]" || strings.Contains(string(answer), token) {
		t.Errorf("%q", answer)
	}
	_ = conn.Close()
	if rest := <-closed; rest != "" {
		t.Errorf("more arrived: %q", rest)
	}
	if e := w.await("close", nil); e.Status != 101 || *e.Down != int64(len(answer)) {
		t.Errorf("%+v", e)
	}
}

func TestWebSocketRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request string
		status  int
		reason  string
	}{
		"another protocol": {strings.Replace(handshake(""), "Upgrade: websocket", "Upgrade: h2c", 1), 403, "the connection may be upgraded to a WebSocket only"},
		"two protocols":    {strings.Replace(handshake(""), "Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c", 1), 403, "the connection may be upgraded to a WebSocket only"},
		"no connection":    {strings.Replace(handshake(""), "Connection: Upgrade", "Connection: close", 1), 403, "the connection may be upgraded to a WebSocket only"},
		"h2c beside it":    {handshake("HTTP2-Settings: AAMAAABkAAQAAP__\r\n"), 403, "the connection may be upgraded to a WebSocket only"},
		"a short key":      {strings.Replace(handshake(""), wsKey, "AAAA", 1), 403, "the WebSocket's key or version is not valid"},
		"no key":           {strings.Replace(handshake(""), "Sec-WebSocket-Key: "+wsKey+"\r\n", "", 1), 403, "the WebSocket's key or version is not valid"},
		"another version":  {strings.Replace(handshake(""), "Version: 13", "Version: 8", 1), 403, "the WebSocket's key or version is not valid"},
		"POST":             {strings.Replace(handshake(""), "GET", "POST", 1), 403, "a WebSocket begins with GET over HTTP/1.1"},
		"HTTP/1.0":         {strings.Replace(handshake(""), "HTTP/1.1", "HTTP/1.0", 1), 403, "a WebSocket begins with GET over HTTP/1.1"},
		"h2c alone":        {"GET / HTTP/1.1\r\nHost: api.test\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 403, "the connection may be upgraded to a WebSocket only"},
		"a body":           {handshake("Content-Length: 2\r\n") + "hi", 403, "a WebSocket begins without a body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, egress.Limits{}, socketRoute())
			w.upstream("api.test", func(http.ResponseWriter, *http.Request) { t.Error("the upstream was reached") })
			response, err := http.ReadResponse(bufio.NewReader(w.raw("api.test", test.request)), nil)
			if err != nil || response.StatusCode != test.status || response.Header.Get("X-Bottle-Reason") != test.reason {
				t.Errorf("%+v, %v", response, err)
			}
		})
	}
}

func TestWebSocketUpstream(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ accept, more, reason string }{
		"wrong accept": {"AAAA", "", "api.test:443 did not accept the WebSocket as it has to"},
		"an extension": {wsAccept(wsKey), "Sec-WebSocket-Extensions: permessage-deflate\r\n", "api.test:443 uses a WebSocket extension that nobody asked for"},
	} {
		w := newWorld(t, egress.Limits{}, socketRoute())
		w.socket(test.accept, test.more, func(io.ReadWriter, *http.Request) {})
		response, err := http.ReadResponse(bufio.NewReader(w.raw("api.test", handshake(""))), nil)
		if err != nil || response.StatusCode != 502 || response.Header.Get("X-Bottle-Reason") != test.reason {
			t.Errorf("%s: %+v, %v", name, response, err)
		}
	}
	w := newWorld(t, egress.Limits{}, socketRoute())
	w.upstream("api.test", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no "+token, http.StatusForbidden) })
	response, err := http.ReadResponse(bufio.NewReader(w.raw("api.test", handshake(""))), nil)
	if err != nil || response.StatusCode != 403 {
		t.Fatalf("%+v, %v", response, err)
	}
	if body, _ := io.ReadAll(response.Body); strings.Contains(string(body), token) || !strings.HasPrefix(string(body), "no ") {
		t.Errorf("%q", body)
	}
}

// An upgrade that nobody asked for is no answer.
func TestUnaskedUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, socketRoute())
	leaf, err := w.internet.Leaf("api.test")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	w.place("api.test", listener.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	got := w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	if got.status != 502 || got.reason != "api.test:443 answered with an upgrade that nobody asked for" {
		t.Errorf("%+v", got)
	}
	_ = listener.Close()
	<-done
}

// A canary under the mask, over the borders of frames and writes.
func TestWebSocketIsRead(t *testing.T) {
	t.Parallel()
	half := len(canary) / 2
	big := strings.Repeat("x", 70000)
	for name, test := range map[string]struct {
		bytes  []byte
		reason string
	}{
		"in a frame":       {frame(1, "a "+canary), "api.test:443: the request carries a canary in its body"},
		"in a large frame": {frame(2, big+canary), "api.test:443: the request carries a canary in its body"},
		"in a middle one":  {frame(2, strings.Repeat("x", 300)+canary), "api.test:443: the request carries a canary in its body"},
		"over two frames":  {append(append(frame(1, canary[:half]), frame(9, "ping")...), frame(0, canary[half:])...), "api.test:443: the request carries a canary in its body"},
		"in a ping":        {frame(9, canary), "api.test:443: the request carries a canary in its body"},
		"not masked":       {append([]byte{0x81, 5}, "hello"...), "api.test:443: the agent sent a WebSocket frame that is not masked, is compressed or is not valid"},
		"compressed":       {append([]byte{0xc1}, frame(1, "hello")[1:]...), "api.test:443: the agent sent a WebSocket frame that is not masked, is compressed or is not valid"},
		"a long ping":      {frame(9, big[:200]), "api.test:443: the agent sent a WebSocket frame that is not masked, is compressed or is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := socketRoute()
			r.Provider = false
			w := newWorld(t, egress.Limits{}, r)
			arrived := make(chan []byte, 1)
			w.socket(wsAccept(wsKey), "", func(rw io.ReadWriter, _ *http.Request) {
				all, _ := io.ReadAll(rw)
				arrived <- all
			})
			conn := w.raw("api.test", handshake(""))
			reader := bufio.NewReader(conn)
			if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 101 {
				t.Fatalf("%+v, %v", response, err)
			}
			for piece := test.bytes; len(piece) > 0; {
				n := min(len(piece), 7)
				if len(test.bytes) > 1000 {
					n = len(piece)
				}
				if _, err := conn.Write(piece[:n]); err != nil {
					break
				}
				piece = piece[n:]
			}
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the connection is still open")
			}
			if got := <-arrived; len(got) >= len(test.bytes) {
				t.Errorf("all %d bytes arrived", len(got))
			}
			w.await("close", func(e entry) bool { return e.Reason == test.reason && e.Status == 101 })
		})
	}
}

func TestWebSocketIsCutOnReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, socketRoute(), open("other.test"))
	ended := make(chan struct{})
	w.socket(wsAccept(wsKey), "", func(rw io.ReadWriter, _ *http.Request) {
		_, _ = io.ReadAll(rw)
		close(ended)
	})
	reader := bufio.NewReader(w.raw("api.test", handshake("")))
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 101 {
		t.Fatalf("%+v, %v", response, err)
	}
	if err := w.apply(open("other.test")); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := reader.ReadByte(); err == nil {
		t.Error("the agent's side is still open")
	}
	w.await("close", func(e entry) bool { return e.Rule == "revoked" && e.Reason == "its route was taken away" })
}
