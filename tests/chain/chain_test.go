//go:build integration

package chain

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	api      = "https://api.bottle.test"
	up       = "https://up.bottle.test"
	absent   = "https://absent.bottle.test"
	megabyte = 1000 * 1000
)

// The whole way: gate, firewall, egress, upstream, with TLS under the bottle's authority.
func TestChain(t *testing.T) {
	b := start(t)
	b.upstream(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *bottle)
	}{
		{"the real token arrives in place of the agent's", testToken},
		{"what the route does not allow is refused", testRefused},
		{"without its token a route answers 502", testAbsent},
		{"a token that changed is fetched again", testRefreshed},
		{"large bodies pass unchanged", testLarge},
		{"a stream is not held back", testStream},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(t, b) })
	}
}

// both runs a test over HTTP/1.1 and HTTP/2.
func both(t *testing.T, b *bottle, run func(t *testing.T, c *http.Client)) {
	t.Helper()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			c := b.web(t, proto == "HTTP/2.0")
			if got := b.get(c, http.MethodGet, api+"/v1/first", nil); got.status != 200 || got.proto != proto {
				t.Fatalf("the control over %s: %s %s", proto, got.proto, got)
			}
			run(t, c)
		})
	}
}

// The control is that the echo can tell another token from the real one.
func testToken(t *testing.T, b *bottle) {
	if got := b.beside(t, nil, nil, "ask", api+"/v1/x", "Bearer of-the-agent").String(); !strings.Contains(got, "credential: another one") {
		t.Fatalf("the echo, asked directly: %s", got)
	}
	both(t, b, func(t *testing.T, c *http.Client) {
		got := b.get(c, http.MethodGet, api+"/v1/x", nil)
		said := got.echoed(t)
		if got.status != 200 || said.Credential != "the real one" || said.ServerName != "api.bottle.test" || said.Path != "/v1/x" {
			t.Errorf("the answer: %s", got)
		}
		if strings.Contains(got.text, b.realToken) || !slices.Contains(said.Headers, "Authorization") {
			t.Errorf("the headers: %s", got)
		}
	})
}

func testRefused(t *testing.T, b *bottle) {
	both(t, b, func(t *testing.T, c *http.Client) {
		before := b.requests(t, "api.bottle.test")
		for _, refused := range []struct{ method, path, reason string }{
			{"DELETE", "/v1/x", "DELETE is not among the methods"},
			{"PUT", "/v1/x", "PUT is not among the methods"},
			{"GET", "/", "is not under the paths"},
			{"GET", "/v1", "is not under the paths"},
			{"GET", "/v2/x", "is not under the paths"},
		} {
			got := b.get(c, refused.method, api+refused.path, nil)
			if got.status != http.StatusForbidden || !strings.Contains(got.text, refused.reason) {
				t.Errorf("%s %s: %s", refused.method, refused.path, got)
			}
		}
		if got := b.get(c, http.MethodGet, api+"/v1/last", nil); got.status != 200 {
			t.Errorf("afterwards: %s", got)
		}
		if after := b.requests(t, "api.bottle.test"); after != before+1 {
			t.Errorf("%d requests reached the upstream, want the one at the end", after-before)
		}
	})
	for _, target := range []string{"https://later.bottle.test/", "https://git.bottle.test/"} {
		if got := b.once(t, target); !strings.Contains(got.text, "Forbidden") {
			t.Errorf("%s: %s", target, got)
		}
	}
}

// The control is that the echo does answer to this name.
func testAbsent(t *testing.T, b *bottle) {
	if got := b.beside(t, nil, nil, "ask", absent+"/v1/x", "").String(); !strings.HasPrefix(got, "200 ") {
		t.Fatalf("the echo, asked directly: %s", got)
	}
	before := b.requests(t, "absent.bottle.test")
	both(t, b, func(t *testing.T, c *http.Client) {
		got := b.get(c, http.MethodGet, absent+"/v1/x", nil)
		if got.String() != "502 bottle: absent.bottle.test:443: its credential is missing on the host" {
			t.Errorf("the answer: %s", got)
		}
	})
	if after := b.requests(t, "absent.bottle.test"); after != before {
		t.Errorf("%d requests arrived without a token", after-before)
	}
}

func sumOf(token string) string {
	sum := sha256.Sum256([]byte("Bearer " + token))
	return hex.EncodeToString(sum[:])
}

// The upstream refuses the first token from some moment on, and the agent does not notice.
func testRefreshed(t *testing.T, b *bottle) {
	first, err := os.ReadFile(b.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.once(t, up+"/v1/is/"+sumOf(strings.TrimSpace(string(first)))); got.status != http.StatusOK {
		t.Fatalf("the control: %s", got)
	}
	second := "second-" + rand.Text()
	b.writeToken(second)
	time.Sleep(time.Until(b.begun.Add(1100 * time.Millisecond))) // a file is read once a second at most
	if got := b.once(t, up+"/v1/is/"+sumOf(second)); got.status != http.StatusOK {
		t.Errorf("with the second token: %s", got)
	}
	if got := b.once(t, up+"/v1/is/"+sumOf(strings.TrimSpace(string(first)))); got.status != http.StatusUnauthorized {
		t.Errorf("with the first token: %s", got)
	}
}

// zeros is not what the upstream counts with, so that an echo of our own bytes is seen.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func testLarge(t *testing.T, b *bottle) {
	const size = 100 * megabyte
	hash := sha256.New()
	_, _ = io.CopyN(hash, zeros{}, size)
	both(t, b, func(t *testing.T, c *http.Client) {
		begin := time.Now()
		got := b.get(c, http.MethodPost, up+"/v1/sum", io.LimitReader(zeros{}, size))
		if want := fmt.Sprintf("%d bytes, sha256 %x, <nil>\n", size, hash.Sum(nil)); got.text != want {
			t.Errorf("up: %s, want %s", got, want)
		}
		t.Logf("100 MB up in %v", time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
		down := b.get(c, http.MethodGet, fmt.Sprintf("%s/v1/bytes/%d", up, size), nil)
		for i := range len(down.text) {
			if down.text[i] != byte(i%251) {
				t.Errorf("down: byte %d is wrong", i)
				break
			}
		}
		if len(down.text) != size {
			t.Errorf("down: %d bytes", len(down.text))
		}
		t.Logf("100 MB down in %v", time.Since(begin).Round(time.Millisecond))
	})
}

// The upstream sends the next event only when the last one has arrived: a stream that is
// held back anywhere never gets to its end.
func testStream(t *testing.T, b *bottle) {
	both(t, b, func(t *testing.T, c *http.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, up+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for i := range 3 {
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
				t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
			}
			if got := b.get(c, http.MethodPost, up+"/v1/go", nil); got.status != 200 {
				t.Fatalf("saying that event %d is here: %s", i, got)
			}
		}
	})
}
