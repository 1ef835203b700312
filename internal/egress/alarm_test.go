package egress_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	fake "bottle.internal/internal/canary"
	"bottle.internal/internal/egress"
)

// What comes back was brought out on a way that nobody saw. A provider's model may say what
// it was shown; everybody else is cut short before the agent gets that piece.
func TestCanariesInAnswers(t *testing.T) {
	t.Parallel()
	handlers := map[string]http.HandlerFunc{
		"a header":        func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-Note", "have "+canary) },
		"a header's name": func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-"+canary, "1") },
		"a body":          func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "begin "+canary+" end") },
		"a streamed body": func(rw http.ResponseWriter, _ *http.Request) {
			for _, piece := range []string{"begin ", canary[:5], canary[5:], " end"} {
				_, _ = io.WriteString(rw, piece)
				_ = http.NewResponseController(rw).Flush()
			}
		},
		"a trailer": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Trailer", "X-End")
			_, _ = io.WriteString(rw, "begin end")
			rw.Header().Set("X-End", strings.ToUpper(canary))
		},
		"an early hint": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Link", canary)
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
		},
	}
	for name, handler := range handlers {
		for _, test := range []struct {
			host, policy string
			blocked      bool
		}{
			{"open.test", egress.CanaryCut, true},
			{"open.test", egress.CanaryWarn, false},
			{"api.test", egress.CanaryCut, false},
		} {
			t.Run(name+" of "+test.host+" "+test.policy, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, egress.Limits{})
				w.config.OnCanary = test.policy
				if err := w.apply(open("open.test"), bearer("api.test")); err != nil {
					t.Fatal(err)
				}
				w.upstream(test.host, handler)
				response, err := w.client(false).Do(request(t, "GET", "https://"+test.host+"/", ""))
				var body []byte
				whole := err == nil
				if whole {
					body, err = io.ReadAll(response.Body)
					whole = err == nil && response.StatusCode == http.StatusOK
					_ = response.Body.Close()
				}
				if whole == test.blocked || test.blocked && strings.Contains(string(body), canary) {
					t.Errorf("the agent got %q, whole: %v, %v", body, whole, err)
				}
				e := w.await("canary", nil)
				if e.Where != "answer" || *e.Blocked != test.blocked || e.Fingerprint != fake.Fingerprint(canary) || e.Host != test.host {
					t.Errorf("%+v", e)
				}
				if strings.Contains(w.log.String(), canary) {
					t.Errorf("it is in the log:\n%s", w.log.String())
				}
			})
		}
	}
}

func TestCanaryInAWebSocketsAnswer(t *testing.T) {
	t.Parallel()
	r := socketRoute()
	r.Provider = false
	w := newWorld(t, egress.Limits{}, r)
	w.socket(wsAccept(wsKey), "", func(rw io.ReadWriter, _ *http.Request) {
		_, _ = rw.Write(append([]byte{0x81, byte(len(canary))}, canary...))
		_ = rw.(*bufio.ReadWriter).Flush()
		_, _ = io.Copy(io.Discard, rw)
	})
	all, _ := io.ReadAll(w.raw("api.test", handshake("")))
	if !strings.HasPrefix(string(all), "HTTP/1.1 101") || strings.Contains(string(all), canary) {
		t.Errorf("the agent got %q", all)
	}
	if e := w.await("canary", nil); e.Where != "answer" || !*e.Blocked {
		t.Errorf("%+v", e)
	}
}

// The worst of a head is told: a canary before the placeholder, wherever they are, and also
// in a header that is dropped on the way.
func TestCanaryBesideThePlaceholder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, header, value, where string
	}{
		"the placeholder in the path":  {placeholder, "User-Agent", canary, "headers"},
		"both in the path":             {placeholder + canary, "User-Agent", placeholder, "path"},
		"in capitals":                  {strings.ToUpper(canary), "User-Agent", "x", "path"},
		"a credential that is dropped": {"x", "Authorization", "token " + canary, "headers"},
		"another credential that is":   {"x", "X-Api-Key", canary, "headers"},
		"in the path and in a header":  {canary, "User-Agent", canary, "path"},
	} {
		for _, host := range []string{"api.test", "open.test"} { // a provider, and none
			t.Run(name+" to "+host, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, egress.Limits{}, bearer("api.test"), open("open.test"))
				r := request(t, "GET", "https://"+host+"/"+test.path, "")
				r.Header.Set(test.header, test.value)
				if got := w.do(w.client(false), r); got.status != 403 || got.reason != host+":443: the request carries a canary in its "+test.where {
					t.Errorf("%+v", got)
				}
				if e := w.await("canary", nil); e.Where != test.where || !*e.Blocked || e.Fingerprint != fake.Fingerprint(canary) || e.Method != "GET" {
					t.Errorf("%+v", e)
				}
				if strings.Contains(strings.ToLower(w.log.String()), canary) {
					t.Errorf("it is in the log:\n%s", w.log.String())
				}
				if len(w.net.Dialed()) != 0 {
					t.Error("the upstream was dialed")
				}
			})
		}
	}
}

// The path stays out of the log where only a warning is due, too.
func TestAWarningHidesThePath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{})
	w.config.OnCanary = egress.CanaryWarn
	if err := w.apply(open("open.test")); err != nil {
		t.Fatal(err)
	}
	w.upstream("open.test", func(http.ResponseWriter, *http.Request) {})
	r := request(t, "GET", "https://open.test/"+canary, "")
	r.Header.Set("User-Agent", canary)
	if got := w.do(w.client(false), r); got.status != 200 {
		t.Errorf("%+v", got)
	}
	w.await("close", nil)
	if strings.Contains(w.log.String(), canary) {
		t.Errorf("it is in the log:\n%s", w.log.String())
	}
}
