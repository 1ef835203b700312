package pipelock

import (
	"bytes"
	"encoding/json"
	"net"
	"net/url"
	"strings"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/secret"
)

// maxLine bounds one line of pipelock's log; what is longer is dropped.
const maxLine = 64 << 10

// redactor takes pipelock's log, which holds URLs, queries and secrets in clear, and
// records what is harmless. It belongs to one pipelock; [execx] writes from one goroutine.
type redactor struct {
	record func(firewall.EngineEvent)
	rest   []byte
	skip   bool // the present line is too long
}

// Write implements [io.Writer]. It never fails.
func (r *redactor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, after, whole := bytes.Cut(p, []byte("\n"))
		p = after
		if len(r.rest)+len(line) > maxLine {
			r.rest, r.skip = nil, true
		}
		if !r.skip {
			r.rest = append(r.rest, line...)
		}
		if whole {
			if !r.skip {
				r.line(r.rest)
			}
			r.rest, r.skip = r.rest[:0], false
		}
	}
	return n, nil
}

// entry is what is read of a line; all else is dropped unseen.
type entry struct {
	Level   string `json:"level"`
	Event   string `json:"event"`
	Method  string `json:"method"`
	URL     string `json:"url"`
	Target  string `json:"target"`
	Scanner string `json:"scanner"`
	Reason  string `json:"reason"`
}

func (r *redactor) line(data []byte) {
	var e entry
	if json.Unmarshal(data, &e) != nil || e.Event == "" {
		return // a banner, or nothing that can be vouched for
	}
	r.record(firewall.EngineEvent{
		Kind: harmless(e.Event), Denied: e.Level != "info", Method: harmless(e.Method), Host: hostOf(e),
		Scanner: harmless(e.Scanner), Reason: harmless(e.Reason),
	})
}

func hostOf(e entry) string {
	if host, _, err := net.SplitHostPort(e.Target); err == nil {
		return strings.ToLower(host)
	}
	for _, text := range []string{e.URL, e.Target} {
		if parsed, err := url.Parse(text); err == nil && parsed.Hostname() != "" {
			return strings.ToLower(parsed.Hostname())
		}
	}
	return ""
}

// harmless keeps plain words of up to 16 letters and replaces all others.
func harmless(text string) string {
	words := strings.Fields(text)
	words = words[:min(len(words), 30)]
	for i, word := range words {
		letters := strings.Trim(word, "():,.")
		if len(letters) > 16 || strings.Trim(strings.ToLower(letters), "abcdefghijklmnopqrstuvwxyz_-/") != "" {
			words[i] = secret.Redacted
		}
	}
	return strings.Join(words, " ")
}
