package egress_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/egress"
)

// replies reads every answer until the connection ends.
func replies(reader *bufio.Reader) []int {
	var list []int
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return list
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return list
		}
		list = append(list, response.StatusCode)
	}
}

// Whatever an agent's bytes look like, the upstream sees only requests that were checked,
// framed anew, and nothing that follows a refusal is read.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const end = "GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"
	const hidden = "GET /secret HTTP/1.1\r\nHost: api.test\r\n\r\n"
	for name, test := range map[string]struct {
		bytes string
		want  []int
		seen  []string // at the upstream
	}{
		"two requests": {
			"GET /one HTTP/1.1\r\nHost: api.test\r\n\r\n" + end,
			[]int{200, 200},
			[]string{`GET /one ""`, `GET /last ""`},
		},
		"CL.TE": { // the chunked body is empty, so what follows is a request like any other
			"POST /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: 41\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
			[]int{200, 403},
			[]string{`POST /one ""`},
		},
		"TE.CL": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
				fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden) + end,
			[]int{200, 200},
			[]string{fmt.Sprintf("POST /one %q", hidden), `GET /last ""`},
		},
		"TE.TE": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, []int{501}, nil,
		},
		"odd transfer-encoding": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, []int{501}, nil,
		},
		"a space before the colon": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, []int{400}, nil,
		},
		"two lengths": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\nContent-Length: 42\r\n\r\n" + hidden, []int{400}, nil,
		},
		"a list of lengths": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0, 42\r\n\r\n" + hidden, []int{400}, nil,
		},
		"a signed length": {
			"POST /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: +42\r\n\r\n" + hidden, []int{400}, nil,
		},
		"a body on GET": {
			fmt.Sprintf("GET /one HTTP/1.1\r\nHost: api.test\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), []int{403}, nil,
		},
		"two hosts": {
			"GET /one HTTP/1.1\r\nHost: api.test\r\nHost: other.test\r\n\r\n" + hidden, []int{400}, nil,
		},
		"no host":     {"GET /one HTTP/1.1\r\n\r\n" + hidden, []int{400}, nil},
		"HTTP/1.0":    {"GET /one HTTP/1.0\r\n\r\n" + hidden, []int{421}, nil},
		"HTTP/0.9":    {"GET /one\r\n\r\n", []int{400}, nil},
		"HTTP/2.0":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{421}, nil},
		"a host list": {"GET /one HTTP/1.1\r\nHost: api.test, other.test\r\n\r\n", []int{400}, nil},
		"absolute form": {
			"GET https://other.test/one HTTP/1.1\r\nHost: api.test\r\n\r\n" + hidden, []int{421}, nil,
		},
		"absolute form of the route": {
			"GET https://api.test/one HTTP/1.1\r\nHost: api.test\r\n\r\n" + hidden, []int{400}, nil,
		},
		"authority form": {"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n" + hidden, []int{403}, nil},
		"asterisk form":  {"OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n" + hidden, []int{400}, nil},
		"trace":          {"TRACE /one HTTP/1.1\r\nHost: api.test\r\n\r\n" + hidden, []int{403}, nil},
		"an obs-fold": { // RFC 9112 lets a server make one line of it: it is made anew here
			"GET /one HTTP/1.1\r\nHost: api.test\r\nX-A: b\r\n Host: other.test\r\nConnection: close\r\n\r\n", []int{200}, []string{`GET /one ""`},
		},
		"a fold of the first header": {"GET /one HTTP/1.1\r\n Host: other.test\r\nHost: api.test\r\n\r\n" + hidden, []int{400}, nil},
		"a bare CR in a header":      {"GET /one HTTP/1.1\r\nHost: api.test\r\nAccept: b\rHost: other.test\r\n\r\n" + hidden, []int{400}, nil},
		"a NUL in a header":          {"GET /one HTTP/1.1\r\nHost: api.test\r\nAccept: b\x00c\r\n\r\n" + hidden, []int{400}, nil},
		"a bare LF is a line end": { // as for every reader in Go: the second Host is one too many
			"GET /one HTTP/1.1\r\nHost: api.test\nHost: other.test\r\n\r\n" + hidden, []int{400}, nil,
		},
		"a CR in the path":          {"GET /one\rx HTTP/1.1\r\nHost: api.test\r\n\r\n", []int{400}, nil},
		"dot segments":              {"GET /one/../../secret HTTP/1.1\r\nHost: api.test\r\n\r\n", []int{400}, nil},
		"escaped dots":              {"GET /one/%2e%2e/secret HTTP/1.1\r\nHost: api.test\r\n\r\n", []int{400}, nil},
		"a fragment":                {"GET /one#/../secret HTTP/1.1\r\nHost: api.test\r\n\r\n", []int{400}, nil},
		"an override":               {"GET /one HTTP/1.1\r\nHost: api.test\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /secret\r\nConnection: close\r\n\r\n", []int{200}, []string{`GET /one ""`}},
		"h2c":                       {"GET /one HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + hidden, []int{403}, nil},
		"a chunk extension":         {"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n", []int{200}, []string{`POST /one "hi"`}},
		"a chunk of odd length":     {"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n" + hidden, []int{400}, nil},
		"an announced trailer":      {"POST /one HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer mine\r\n\r\n", []int{200}, []string{`POST /one "hi"`}},
		"connection drops a header": {"GET /one HTTP/1.1\r\nHost: api.test\r\nConnection: close, authorization\r\n\r\n", []int{200}, []string{`GET /one ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bearer("api.test")
			r.Methods, r.Paths = []string{"GET", "POST", "OPTIONS"}, []string{"/one", "/last"}
			if name == "a body on GET" {
				r.Auth, r.Provider = nil, false
			}
			w := newWorld(t, egress.Limits{}, r)
			var mu sync.Mutex
			var seen []string
			w.upstream("api.test", func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return // cut before its end: nothing to act on
				}
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body))
				if r.Host != "api.test" || len(r.Header["Authorization"]) != 1 || r.Header.Get("Authorization") != "Bearer "+token || len(r.Trailer) > 0 {
					t.Errorf("upstream saw %s %v %v", r.Host, r.Header, r.Trailer)
				}
			})
			got := replies(bufio.NewReader(w.raw("api.test", test.bytes)))
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, test.want) || !slices.Equal(seen, test.seen) {
				t.Errorf("answers %v, want %v\nupstream %s\nwant     %s\n%s", got, test.want, strings.Join(seen, " | "), strings.Join(test.seen, " | "), w.log.String())
			}
		})
	}
}
