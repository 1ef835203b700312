package egress_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/secret"
)

// An upstream that sends the credential back does not give it to the agent.
func TestEchoIsRedacted(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, http2 bool) {
		w := newWorld(t, egress.Limits{}, bearer("api.test"))
		spellings := []string{
			token, base64.StdEncoding.EncodeToString([]byte(token)), base64.URLEncoding.EncodeToString([]byte("user:" + token)),
			url.QueryEscape(token), strings.ReplaceAll(token, "/", `\/`),
		}
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Echo", r.Header.Get("Authorization"))
			rw.Header().Add("Link", "<https://x.test/?k="+url.QueryEscape(token)+">")
			for _, text := range spellings {
				// In two pieces, with the border inside.
				_, _ = io.WriteString(rw, "<"+text[:len(text)/2])
				_ = http.NewResponseController(rw).Flush()
				_, _ = io.WriteString(rw, text[len(text)/2:]+">")
			}
		})
		got := w.do(w.client(http2), request(t, "GET", "https://api.test/", ""))
		for _, text := range spellings {
			for _, part := range []string{text, text[8 : len(text)-8]} {
				if strings.Contains(got.body, part) || strings.Contains(fmt.Sprint(got.header), part) {
					t.Errorf("%q came back", part)
				}
			}
		}
		if got.header.Get("X-Echo") != "Bearer [redacted]"+strings.Repeat("*", len(token)-10) || strings.Count(got.body, "[redacted]") != len(spellings) {
			t.Errorf("%v %s", got.header, got.body)
		}
	})
}

func TestAnswersThatCannotBeSearched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"), open("open.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != r.Header.Get("X-Request-Id") {
			t.Errorf("Accept-Encoding %q, want %q", got, r.Header.Get("X-Request-Id"))
		}
		rw.Header().Set("Content-Encoding", r.URL.Query().Get("coding"))
		if r.URL.Query().Get("range") != "" {
			rw.WriteHeader(http.StatusPartialContent)
		}
		_, _ = io.WriteString(rw, "xxxx")
	})
	w.upstream("open.test", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(rw, r.Header.Get("Accept-Encoding"))
	})
	const cannot = "api.test:443 answered in Content-Encoding %s, which cannot be searched for the credential"
	for _, test := range []struct{ accept, forwarded, query, reason string }{
		{"gzip, br, zstd", "gzip", "?coding=br", fmt.Sprintf(cannot, "br")},
		{"br", "identity", "?coding=zstd", fmt.Sprintf(cannot, "zstd")},
		{"gzip;q=0, *;q=0", "identity", "?coding=gzip,gzip", fmt.Sprintf(cannot, "gzip,gzip")},
		{"identity", "identity", "?coding=gzip&range=1", fmt.Sprintf(cannot, "gzip")},
	} {
		r := request(t, "GET", "https://api.test/"+test.query, "")
		r.Header.Set("Accept-Encoding", test.accept)
		r.Header.Set("X-Request-Id", test.forwarded)
		if got := w.do(w.client(false), r); got.status != 502 || got.reason != test.reason {
			t.Errorf("%s: %d %s %q", test.query, got.status, got.reason, got.body)
		}
	}
	// Nothing is looked for where there is no credential.
	r := request(t, "GET", "https://open.test/", "")
	r.Header.Set("Accept-Encoding", "br, zstd")
	if got := w.do(w.client(false), r); got.status != 200 || got.body != "br, zstd" || got.header.Get("Content-Encoding") != "br" {
		t.Errorf("%+v", got)
	}
}

func TestHeadOfGzip(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		rw.Header().Set("Content-Length", "99")
	})
	r := request(t, "HEAD", "https://api.test/", "")
	r.Header.Set("Accept-Encoding", "gzip")
	if got := w.do(w.client(false), r); got.status != 200 || got.header.Get("Content-Encoding") != "" || got.header.Get("Content-Length") != "" {
		t.Errorf("%+v", got)
	}
}

func TestMissingToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"), open("open.test"))
	w.upstream("api.test", func(http.ResponseWriter, *http.Request) { t.Error("a request without its credential") })
	w.upstream("open.test", func(rw http.ResponseWriter, r *http.Request) {
		if len(r.Header["Authorization"]) > 0 {
			t.Error("a credential where none belongs")
		}
	})
	for text, want := range map[string]string{
		"":                        "its credential is missing on the host",
		"short":                   "its credential cannot be used: it has less than 8 bytes",
		"line\r\nX-Evil: 1":       "its credential cannot be used: it holds a line break, a space at an end, or bytes outside ASCII",
		strings.Repeat("x", 5000): "its credential cannot be used: it has more than 4096 bytes",
	} {
		inputs := maps.Clone(w.inputs)
		inputs[egress.TokenInput(0)] = secret.New(text)
		if err := w.server.Apply(inputs); err != nil {
			t.Fatal(err)
		}
		got := w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
		if got.status != 502 || got.reason != "api.test:443: "+want || got.body != "bottle: api.test:443: "+want+"\n" {
			t.Errorf("%d %q", got.status, got.reason)
		}
		if got := w.do(w.client(false), request(t, "GET", "https://open.test/", "")); got.status != 200 {
			t.Errorf("the other route: %d %s", got.status, got.reason)
		}
	}
	if w.await("fail", nil).Rule != "token" {
		t.Error(w.log.String())
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	const fresh = "fresh-token-9876543210"
	newUpstream := func(t *testing.T, w *world) *atomic.Int64 {
		var refused atomic.Int64
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("Authorization") != "Bearer "+fresh {
				refused.Add(1)
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprintf(rw, "%d %s", len(body), fresh)
		})
		return &refused
	}
	w := newWorld(t, egress.Limits{}, open("a.test"), bearer("api.test"))
	w.answer = func(route int) (string, error) {
		if route != 1 {
			t.Errorf("asked for route %d", route)
		}
		return fresh, nil
	}
	refused := newUpstream(t, w)
	// A body that is too long to be sent again: the 401 is passed on, the next goes through.
	got := w.do(w.client(false), request(t, "POST", "https://api.test/", strings.Repeat("x", 70000)))
	if got.status != 401 {
		t.Errorf("%+v", got)
	}
	got = w.do(w.client(false), request(t, "POST", "https://api.test/", strings.Repeat("x", 70000)))
	if got.status != 200 || got.body != "70000 [redacted]************" || refused.Load() != 1 || len(w.questions) != 1 {
		t.Errorf("%+v, %d refused, %d questions", got, refused.Load(), len(w.questions))
	}

	// Many at once ask once, and each goes through.
	w = newWorld(t, egress.Limits{}, open("a.test"), bearer("api.test"))
	w.answer = func(int) (string, error) { return fresh, nil }
	newUpstream(t, w)
	client := w.client(true)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if got := w.do(client, request(t, "POST", "https://api.test/", strings.Repeat("x", 100+i))); got.status != 200 {
				t.Errorf("%+v", got)
			}
		})
	}
	all.Wait()
	if len(w.questions) != 1 || string(<-w.questions) != `{"route":1}` {
		t.Errorf("%d more questions", len(w.questions))
	}

	// A host that has no other token is not asked again and again.
	for name, answer := range map[string]func(int) (string, error){
		"asking for token: denied": func(int) (string, error) {
			return "", fmt.Errorf("asking for token: %w", &control.AnswerError{Text: "denied"})
		},
		"the host has no other token":      func(int) (string, error) { return token, nil },
		"using the new token: it is empty": func(int) (string, error) { return "", nil },
	} {
		w := newWorld(t, egress.Limits{}, open("a.test"), bearer("api.test"))
		w.answer = answer
		newUpstream(t, w)
		for range 3 {
			if got := w.do(w.client(false), request(t, "GET", "https://api.test/", "")); got.status != 401 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if e := w.await("refresh", nil); e.Problem != name || *e.Route != 1 || len(w.questions) != 1 {
			t.Errorf("%+v, %d questions", e, len(w.questions))
		}
	}
}
