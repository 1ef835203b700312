package echo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const maxShown = 256

// reply is the answer, and with a time the line in the log.
type reply struct {
	Event      string     `json:"event,omitempty"`
	Time       *time.Time `json:"time,omitempty"`
	Message    string     `json:"message,omitempty"`
	ServerName string     `json:"server_name"` // SNI, which the firewall compared with CONNECT
	Proto      string     `json:"proto"`
	Method     string     `json:"method"`
	Host       string     `json:"host"`
	Path       string     `json:"path"` // without the query
	Headers    []string   `json:"headers"`
	Credential string     `json:"credential,omitempty"` // how it compares with the expected one
	BodyBytes  int64      `json:"body_bytes"`
}

type readyLine struct {
	Event  string `json:"event"`
	Listen string `json:"listen"`
	Git    string `json:"git,omitempty"` // where ssh listens
}

// reporter writes JSON lines whole.
type reporter struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *reporter) write(value any) {
	data, err := json.Marshal(value)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Write(append(data, '\n'))
}

func (u *upstream) answer(w http.ResponseWriter, r *http.Request) {
	if u.model != nil && r.TLS != nil && strings.EqualFold(r.TLS.ServerName, u.model.host) {
		u.play(w, r)
		return
	}
	size, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	said := describe(r, size)
	said.Credential = u.credentials.compare(said.ServerName, r.Header)
	now := time.Now().UTC()
	logged := said
	logged.Event, logged.Time = "request", &now
	u.report.write(logged)

	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		http.Error(w, fmt.Sprintf("echo: a body of more than %d bytes", maxBody), http.StatusRequestEntityTooLarge)
		return
	}
	said.Message = fmt.Sprintf("hello from %s: your request arrived here", said.ServerName)
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		header.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(said)
		return
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "%s\nrequest: %s %s over %s, body of %d bytes\nhost: %s\nheader names: %s\n",
		said.Message, said.Method, said.Path, said.Proto, said.BodyBytes, said.Host, strings.Join(said.Headers, ", "))
	if said.Credential != "" {
		_, _ = fmt.Fprintf(w, "credential: %s\n", said.Credential)
	}
}

// describe keeps to printable ASCII: the text ends on somebody's terminal.
func describe(r *http.Request, size int64) reply {
	said := reply{
		Proto: r.Proto, Method: ascii(r.Method), Host: ascii(r.Host), Path: ascii(r.URL.EscapedPath()),
		Headers: []string{}, BodyBytes: size,
	}
	if r.TLS != nil {
		said.ServerName = ascii(r.TLS.ServerName)
	}
	for name := range r.Header {
		said.Headers = append(said.Headers, ascii(name))
	}
	slices.Sort(said.Headers)
	return said
}

func ascii(text string) string {
	quoted := strconv.QuoteToASCII(text[:min(len(text), maxShown)])
	return quoted[1 : len(quoted)-1]
}
