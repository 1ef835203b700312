package egress_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"bottle.internal/internal/egress"
)

func zipped(text string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = io.WriteString(zip, text)
	_ = zip.Close()
	return out.Bytes()
}

func TestCanaries(t *testing.T) {
	t.Parallel()
	type sent struct {
		host, path, header, value, body string
		gzip                            bool
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("ab" + canary + "z"))
	for name, test := range map[string]struct {
		sent   sent
		status int
		event  string // "" none
		reason string
	}{
		"nothing":                       {sent{host: "open.test", body: "hello"}, 200, "", ""},
		"canary in a body":              {sent{host: "open.test", body: "x" + canary}, 403, "canary", "a canary in the body"},
		"canary in base64":              {sent{host: "open.test", body: encoded}, 403, "canary", "a canary in the body"},
		"canary in gzip":                {sent{host: "open.test", body: "x" + canary, gzip: true}, 403, "canary", "a canary in the body"},
		"canary in a path":              {sent{host: "open.test", path: canary}, 403, "canary", "a canary in the path"},
		"canary in an escaped path":     {sent{host: "open.test", path: "a%20" + canary}, 403, "canary", "a canary in the path"},
		"canary in a query":             {sent{host: "open.test", path: "?a=" + strings.Replace(canary, "c", "%63", 1)}, 403, "canary", "a canary in the path"},
		"canary in a header":            {sent{host: "open.test", header: "User-Agent", value: encoded}, 403, "canary", "a canary in the headers"},
		"canary in a header's name":     {sent{host: "open.test", header: "X-" + canary, value: "1"}, 403, "canary", "a canary in the headers"},
		"canary in a dropped header":    {sent{host: "open.test", header: "X-Odd", value: canary}, 403, "canary", "a canary in the headers"},
		"placeholder elsewhere":         {sent{host: "open.test", header: "Authorization", value: "Bearer " + placeholder}, 403, "exfiltration", "the placeholder in the headers"},
		"placeholder in a body":         {sent{host: "open.test", body: placeholder}, 403, "exfiltration", "the placeholder in the body"},
		"placeholder where it belongs":  {sent{host: "api.test", header: "Authorization", value: "Bearer " + placeholder}, 200, "", ""},
		"placeholder in X-Api-Key":      {sent{host: "api.test", header: "X-Api-Key", value: placeholder}, 200, "", ""},
		"placeholder at a provider":     {sent{host: "api.test", body: placeholder}, 200, "exfiltration", "the placeholder in the body"},
		"canary shown to a provider":    {sent{host: "api.test", body: canary}, 200, "canary", "a canary in the body"},
		"canary in a provider's header": {sent{host: "api.test", header: "User-Agent", value: canary}, 403, "canary", "a canary in the headers"},
		"placeholder, no provider":      {sent{host: "auth.test", body: placeholder}, 403, "exfiltration", "the placeholder in the body"},
	} {
		for _, mode := range []string{"small", "streamed"} {
			if mode == "streamed" && test.sent.body == "" {
				continue
			}
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				auth := bearer("auth.test")
				auth.Provider = false
				w := newWorld(t, egress.Limits{}, open("open.test"), bearer("api.test"), auth)
				var arrived atomic.Int64
				w.upstream(test.sent.host, func(_ http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err == nil {
						arrived.Add(1)
					}
					if test.status != 200 && (err == nil || bytes.Contains(body, []byte(canary)) || bytes.Contains(body, []byte(placeholder))) {
						t.Errorf("%q arrived, %v", body, err)
					}
				})
				method, body := "GET", []byte(test.sent.body)
				if test.sent.body != "" {
					method = "POST"
				}
				if test.sent.gzip {
					body = zipped(test.sent.body)
				}
				r := request(t, method, "https://"+test.sent.host+"/"+test.sent.path, string(body))
				if mode == "streamed" {
					in, out := io.Pipe()
					go func() { // the border is inside the needle
						_, _ = out.Write(body[:len(body)/2])
						_, _ = out.Write(body[len(body)/2:])
						_ = out.Close()
					}()
					r = chunked(t, method, r.URL.String(), in)
					defer in.Close()
				}
				if test.sent.gzip {
					r.Header.Set("Content-Encoding", "gzip")
				}
				if test.sent.header != "" {
					r.Header.Set(test.sent.header, test.sent.value)
				}
				got := w.do(w.client(false), r)
				if got.status != test.status {
					t.Fatalf("%d %s", got.status, got.reason)
				}
				if test.status == 200 && arrived.Load() != 1 {
					t.Error("it did not arrive")
				}
				if mode == "small" && test.status != 200 && !test.sent.gzip && len(w.net.Dialed()) != 0 {
					t.Error("the upstream was dialed")
				}
				if test.event != "" {
					e := w.await(test.event, nil)
					if e.Reason != test.reason || e.Rule != "canary" || *e.Blocked != (test.status != 200) || e.Host != test.sent.host {
						t.Errorf("%+v", e)
					}
				}
				text := w.log.String()
				if strings.Contains(text, canary) || strings.Contains(text, placeholder) || strings.Contains(text, encoded) {
					t.Errorf("the log holds what it is about:\n%s", text)
				}
				if test.event == "" && (strings.Contains(text, `"canary"`) || strings.Contains(text, "exfil")) {
					t.Errorf("a false alarm:\n%s", text)
				}
			})
		}
	}
}

func TestCanaryWarns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{})
	w.config.OnCanary = egress.CanaryWarn
	if err := w.apply(open("open.test")); err != nil {
		t.Fatal(err)
	}
	w.upstream("open.test", func(http.ResponseWriter, *http.Request) {})
	if got := w.do(w.client(false), request(t, "POST", "https://open.test/", canary)); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if e := w.await("canary", nil); *e.Blocked {
		t.Errorf("%+v", e)
	}
}

func TestRequestCodings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %q %q", body, r.Header.Get("Content-Encoding"), errors.Unwrap(err))
	})
	send := func(coding string, body []byte) reply {
		r := request(t, "POST", "https://api.test/", string(body))
		r.Header.Set("Content-Encoding", coding)
		return w.do(w.client(false), r)
	}
	// What was judged is what is sent: in clear.
	if got := send("gzip", zipped("hello")); got.body != `hello "" %!q(<nil>)` {
		t.Errorf("%+v", got)
	}
	if got := send("br", []byte("x")); got.status != 415 || got.reason != "api.test:443: a body with Content-Encoding br cannot be read; send identity or gzip" {
		t.Errorf("%+v", got)
	}
	if got := send("gzip, gzip", zipped("x")); got.status != 415 {
		t.Errorf("%+v", got)
	}
	if got := send("gzip", []byte("no gzip at all, but long enough")); got.status != 400 {
		t.Errorf("%+v", got)
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	first, second := open("a.test"), open("b.test")
	first.UploadBudget = 1000
	w := newWorld(t, egress.Limits{})
	w.config.UploadBudget = 2500
	if err := w.apply(first, second); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a.test", "b.test"} {
		w.upstream(host, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	}
	send := func(host string, bytes int) reply {
		return w.do(w.client(false), request(t, "POST", "https://"+host+"/", strings.Repeat("x", bytes)))
	}
	if got := send("a.test", 900); got.status != 200 {
		t.Errorf("%+v", got)
	}
	const spent = "a.test:443 has sent the 1000 bytes that this route may send"
	if got := send("a.test", 200); got.status != 403 || got.reason != spent {
		t.Errorf("%+v", got)
	}
	// A new configuration does not fill it again; the URL counts.
	if err := w.apply(first, second); err != nil {
		t.Fatal(err)
	}
	if got := w.do(w.client(false), request(t, "GET", "https://a.test/", "")); got.status != 403 || got.reason != spent {
		t.Errorf("%+v", got)
	}
	if got := send("b.test", 900); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if got := send("b.test", 900); got.status != 403 || got.reason != "b.test:443: the routes have sent the 2500 bytes that this bottle may send" {
		t.Errorf("%+v", got)
	}
	if w.await("deny", nil).Rule != "budget" {
		t.Error(w.log.String())
	}
}
