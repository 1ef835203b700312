package imagepack

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"sync"

	"bottle.internal/internal/event"
)

// meter turns bytes and lines into progress events, not more than about 100 of them
// for the bytes.
type meter struct {
	step  string
	total int64
	send  func(event.Event)

	mu         sync.Mutex
	text       string
	done, said int64
}

func (s *Store) meter(ctx context.Context, step string, total int64) *meter {
	return &meter{step: step, total: total, send: func(e event.Event) { s.send(ctx, e) }}
}

// add counts bytes. A repeated read does not show as more than everything.
func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if m.total > 0 {
		m.done = min(m.done, m.total)
	}
	complete := m.done == m.total && m.said < m.total
	if !complete && m.done-m.said < max(1<<20, m.total/100) {
		return
	}
	m.said = m.done
	m.tell()
}

func (m *meter) say(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if text != m.text {
		m.text = text
		m.tell()
	}
}

func (m *meter) tell() {
	m.send(event.Event{Kind: event.Progress, Step: m.step, Text: m.text, Done: m.done, Total: m.total})
}

// maxLine bounds a line of a program that never ends one.
const maxLine = 4096

// toolOutput shows what a program prints, line by line; a carriage return ends a line
// too, and colours and cursor movements go.
type toolOutput struct {
	meter *meter
	mu    sync.Mutex
	line  []byte
}

var (
	_ io.Writer = (*toolOutput)(nil)

	controlSequence = regexp.MustCompile(`\x1b\[[0-9;?]*[\x20-\x2f]*[@-~]`)
)

func (o *toolOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			o.line = append(o.line, rest[:min(len(rest), maxLine-len(o.line))]...)
			break
		}
		o.line = append(o.line, rest[:min(end, maxLine-len(o.line))]...)
		text := strings.TrimSpace(string(controlSequence.ReplaceAll(o.line, nil)))
		if text != "" {
			o.meter.say(text)
		}
		o.line, rest = o.line[:0], rest[end+1:]
	}
	return len(p), nil
}

// ctxReader stops a copy when its context ends, and counts.
type ctxReader struct {
	ctx  context.Context //nolint:containedctx // lives as long as one copy
	r    io.Reader
	read func(int)
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if c.read != nil {
		c.read(n)
	}
	return n, err
}

// ctxWriter does the same for somebody who writes.
type ctxWriter struct {
	ctx     context.Context //nolint:containedctx // lives as long as one copy
	w       io.Writer
	written func(int)
}

func (c *ctxWriter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.w.Write(p)
	if c.written != nil {
		c.written(n)
	}
	return n, err
}
