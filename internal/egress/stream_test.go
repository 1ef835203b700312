package egress_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/egress"
)

// Each event arrives before the next is made, also where egress looks for the credential.
func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for name, coding := range map[string]string{"plain": "", "gzip": "gzip"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			protocols(t, func(t *testing.T, http2 bool) {
				w := newWorld(t, egress.Limits{}, bearer("api.test"))
				next := make(chan struct{})
				w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", "text/event-stream")
					out, flush := io.Writer(rw), func() {}
					if coding != "" {
						if r.Header.Get("Accept-Encoding") != "gzip" {
							t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
						}
						rw.Header().Set("Content-Encoding", "gzip")
						zip := gzip.NewWriter(rw)
						defer zip.Close()
						out, flush = zip, func() { _ = zip.Flush() }
					}
					rw.WriteHeader(200)
					_ = http.NewResponseController(rw).Flush()
					for i := range 3 {
						<-next
						fmt.Fprintf(out, "data: %d %s\n\n", i, token)
						flush()
						_ = http.NewResponseController(rw).Flush()
					}
				})
				r := request(t, "GET", "https://api.test/events", "")
				r.Header.Set("Accept-Encoding", "gzip, br")
				response, err := w.client(http2).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if response.Header.Get("Content-Encoding") != "" {
					t.Errorf("Content-Encoding %q", response.Header.Get("Content-Encoding"))
				}
				reader := bufio.NewReader(response.Body)
				for i := range 3 {
					next <- struct{}{}
					line, err := reader.ReadString('\n')
					if want := fmt.Sprintf("data: %d [redacted]%s\n", i, strings.Repeat("*", len(token)-10)); line != want || err != nil {
						t.Fatalf("%q, %v", line, err)
					}
					_, _ = reader.ReadString('\n')
				}
			})
		})
	}
}

func TestTrailersAndHints(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, http2 bool) {
		r := bearer("api.test")
		r.PassHeaders = []string{"X-Checksum"}
		w := newWorld(t, egress.Limits{}, r)
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "</a>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			body, _ := io.ReadAll(r.Body)
			if len(r.Trailer) != 1 || r.Trailer.Get("X-Checksum") != "abc" {
				t.Errorf("upstream saw trailers %v", r.Trailer)
			}
			rw.Header().Set("Trailer", "X-Sum")
			_, _ = rw.Write(body)
			rw.Header().Set("X-Sum", token)
			rw.Header().Set(http.TrailerPrefix+"X-Late", "late")
		})
		out := chunked(t, "POST", "https://api.test/", strings.NewReader("hello"))
		out.Trailer = http.Header{"X-Checksum": {"abc"}, "X-Api-Key": {"mine"}}
		hints := 0
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if code == 103 && header.Get("Link") != "" {
					hints++
				}
				return nil
			},
		}))
		got := w.do(w.client(http2), out)
		if got.body != "hello" || hints != 1 || got.header.Get("Link") != "" {
			t.Errorf("%q with %d hints, %v", got.body, hints, got.header)
		}
		if got.trail.Get("X-Sum") != "[redacted]"+strings.Repeat("*", len(token)-10) || got.trail.Get("X-Late") != "late" {
			t.Errorf("trailers %v", got.trail)
		}
	})
}

// The agent's body is asked for only when the upstream asks.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			rw.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, n)
	})
	conn := w.raw("api.test", "POST /yes HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
	reader := bufio.NewReader(conn)
	line, _ := reader.ReadString('\n')
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	_, _ = reader.ReadString('\n')
	_, _ = io.WriteString(conn, strings.Repeat("x", 100000))
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(response.Body); string(body) != "100000" {
		t.Errorf("%q", body)
	}
	conn = w.raw("api.test", "POST /no HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
	response, err = http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusExpectationFailed {
		t.Errorf("%v, %v", response, err)
	}
}

type pattern struct{ left int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range n {
		b[i] = byte(p.left - int64(i))
	}
	p.left -= int64(n)
	return n, nil
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	sum := sha256.New()
	_, _ = io.Copy(sum, &pattern{size})
	protocols(t, func(t *testing.T, http2 bool) {
		w := newWorld(t, egress.Limits{}, bearer("api.test"))
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			_, _ = io.Copy(h, r.Body)
			if !bytes.Equal(h.Sum(nil), sum.Sum(nil)) {
				t.Error("another body arrived")
			}
			_, _ = io.Copy(rw, &pattern{size})
		})
		response, err := w.client(http2).Do(chunked(t, "POST", "https://api.test/", &pattern{size}))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		h := sha256.New()
		if n, err := io.Copy(h, response.Body); n != size || err != nil || !bytes.Equal(h.Sum(nil), sum.Sum(nil)) {
			t.Errorf("%d bytes, %v", n, err)
		}
		closed := w.await("close", nil)
		if *closed.Up != size+1 || *closed.Down != size {
			t.Errorf("%+v", closed)
		}
	})
}

// An answer that is not whole must not look whole.
func TestBrokenAnswer(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, http2 bool) {
		w := newWorld(t, egress.Limits{}, bearer("api.test"))
		w.upstream("api.test", func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, strings.Repeat("x", 10000))
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		})
		response, err := w.client(http2).Do(request(t, "GET", "https://api.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if n, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("%d bytes and a clean end", n)
		}
		w.await("close", func(e entry) bool { return e.Rule == "answer" && e.Reason == "api.test:443 broke off" })
	})
}

// Redirects are the agent's to follow, under the same rules.
func TestRedirectsArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://evil.test/?t="+token, http.StatusFound)
	})
	got := w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	if got.status != 302 || !strings.HasPrefix(got.header.Get("Location"), "https://evil.test/?t=[redacted]") || len(w.net.Dialed()) != 1 {
		t.Errorf("%d %v, %d dials", got.status, got.header, len(w.net.Dialed()))
	}
}

// One clock serves both directions: an answer is not idle because the agent is silent.
func TestIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{Idle: 1500 * time.Millisecond}, bearer("api.test"))
	silent := make(chan struct{})
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/head" {
			<-r.Context().Done()
			return
		}
		for range 17 {
			_, _ = io.WriteString(rw, "x")
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(100 * time.Millisecond)
		}
		<-silent
	})
	defer close(silent)
	got := w.do(w.client(false), request(t, "GET", "https://api.test/head", ""))
	if got.status != 504 || got.reason != "nothing moved for 1.5s" {
		t.Errorf("%d %s", got.status, got.reason)
	}
	response, err := w.client(false).Do(request(t, "GET", "https://api.test/", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != 17 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	w.await("close", func(e entry) bool { return e.Rule == "idle" })
}

// An answer may begin, and go on, while the request is still on its way.
func TestBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, http2 bool) {
		w := newWorld(t, egress.Limits{}, bearer("api.test"))
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(rw)
			_ = control.Flush()
			buffer := make([]byte, 100)
			for {
				n, err := r.Body.Read(buffer)
				_, _ = rw.Write(buffer[:n])
				_ = control.Flush()
				if err != nil {
					return
				}
			}
		})
		in, out := io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		defer in.Close()
		response, err := w.client(http2).Do(chunked(t, "POST", "https://api.test/", in).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for _, word := range []string{"one", "two", "three"} {
			_, _ = io.WriteString(out, word)
			got := make([]byte, len(word))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != word {
				t.Fatalf("%q, %v", got, err)
			}
		}
		_ = out.Close()
		if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
}
