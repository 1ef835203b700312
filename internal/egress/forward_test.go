package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"bottle.internal/internal/egress"
)

func protocols(t *testing.T, run func(t *testing.T, http2 bool)) {
	t.Helper()
	for name, http2 := range map[string]bool{"http1": false, "http2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, http2)
		})
	}
}

func TestInjects(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, http2 bool) {
		w := newWorld(t, egress.Limits{}, bearer("api.test"))
		w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if got := r.Header.Get("Authorization"); got != "Bearer "+token {
				t.Errorf("upstream saw Authorization %q", got)
			}
			for _, name := range []string{"X-Api-Key", "Cookie", "Proxy-Authorization", "X-Http-Method-Override", "X-Odd", "X-Forwarded-For", "Accept-Charset", "Anthropic-Api-Key", "X-Stainless-Override"} {
				if r.Header.Get(name) != "" {
					t.Errorf("upstream saw %s", name)
				}
			}
			if r.Header.Get("Anthropic-Version") != "2023-06-01" || r.Header.Get("X-Stainless-Os") != "Linux" || r.UserAgent() != "sdk/1" {
				t.Errorf("upstream misses a header: %v", r.Header)
			}
			rw.Header().Set("Set-Cookie", "session=1")
			rw.Header().Set("Alt-Svc", `h3=":443"`)
			rw.Header().Set("X-Kept", "yes")
			fmt.Fprintf(rw, "%s %s %s %q %d", r.Method, r.Host, r.RequestURI, body, r.ProtoMajor)
		})
		r := request(t, "POST", "https://api.test/v1/messages?beta=true", "hello")
		for name, value := range map[string]string{
			"Authorization": "Bearer " + placeholder, "X-Api-Key": placeholder, "Cookie": "a=b", "Anthropic-Version": "2023-06-01",
			"X-Stainless-Os": "Linux", "User-Agent": "sdk/1", "X-Http-Method-Override": "DELETE", "X-Odd": "1", "X-Forwarded-For": "1.1.1.1",
			"Proxy-Authorization": "x", "Anthropic-Api-Key": "mine", "X-Stainless-Override": "x", "Accept-Charset": "utf-8",
		} {
			r.Header.Set(name, value)
		}
		got := w.do(w.client(http2), r)
		if want := `POST api.test /v1/messages?beta=true "hello" 2`; got.status != 200 || got.body != want {
			t.Errorf("%d %q, want %q", got.status, got.body, want)
		}
		if http2 != (got.proto == 2) {
			t.Errorf("HTTP/%d", got.proto)
		}
		if got.header.Get("Set-Cookie") != "" || got.header.Get("Alt-Svc") != "" || got.header.Get("X-Kept") != "yes" {
			t.Errorf("answer's headers: %v", got.header)
		}
		allowed := w.await("allow", nil)
		if allowed.Host != "api.test" || allowed.Port != 443 || allowed.Path != "/v1/messages" || *allowed.Route != 0 || allowed.Status != 0 {
			t.Errorf("log: %+v", allowed)
		}
		closed := w.await("close", nil)
		if closed.Status != 200 || *closed.Up != int64(len("/v1/messages?beta=true")+5) || *closed.Down != int64(len(got.body)) || closed.Millis == nil {
			t.Errorf("log: %+v", closed)
		}
		for _, secret := range []string{token, placeholder, "beta", "session"} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})
}
