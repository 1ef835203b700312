package firewall

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"bottle.internal/internal/boundedlisten"
	"bottle.internal/internal/firewall/clienthello"
)

const copyBuffer = 32 << 10

// spliced is the two ends of a tunnel, and what the client already said.
type spliced struct {
	client, upstream net.Conn
	hello            []byte
}

// splice copies both ways until both have ended, and says how it ended. The end of one
// way is passed on as a half-close. One clock serves both directions: a stream in which
// only one side speaks is not idle.
func (s *Server) splice(e *exchange, t *spliced) string {
	var last atomic.Int64 // time since start of the last byte in either direction
	start := time.Now()
	touch := func() { last.Store(int64(time.Since(start))) }
	closeBoth := func() {
		_ = t.client.Close()
		_ = t.upstream.Close()
	}
	ends := make(chan string, 2)
	answered := make(chan clienthello.Answer, 1)
	up := pipe{dst: t.upstream, src: t.client, touch: touch, broken: closeBoth, spend: e.spend, count: e.sent}
	down := pipe{dst: t.client, src: t.upstream, touch: touch, broken: closeBoth, count: e.received}
	go func() { ends <- s.copyUp(e, up, t.hello, answered) }()
	go func() { ends <- s.copyDown(e, down, answered) }()
	timer := time.NewTimer(s.limits.Idle)
	defer timer.Stop()
	why, ended := "", e.ctx.Done()
	for open := 2; open > 0; {
		select {
		case end := <-ends:
			open--
			if why == "" || why == endClean {
				why = end
			}
		case <-ended:
			ended = nil
			closeBoth()
		case <-timer.C:
			quiet := time.Since(start) - time.Duration(last.Load())
			if quiet < s.limits.Idle {
				timer.Reset(s.limits.Idle - quiet)
				continue
			}
			e.cancel(errIdle) // arrives through ended
		}
	}
	if e.ctx.Err() != nil {
		return endOf(e.ctx)
	}
	return why
}

const endClean = "both sides ended"

func endOf(ctx context.Context) string {
	if why, ok := errors.AsType[ending](context.Cause(ctx)); ok {
		return why.Error()
	}
	return "the firewall is closing"
}

// pipe is one direction.
type pipe struct {
	dst, src net.Conn
	touch    func()
	broken   func()
	spend    func(n int) error // asked before a write; may be nil
	count    func(n int)
}

// run copies until src ends. A source that breaks takes the tunnel down; a destination
// that takes no more may still be sending the answer that says why.
func (p pipe) run() string {
	buffer := make([]byte, copyBuffer)
	for {
		n, err := p.src.Read(buffer)
		if n > 0 {
			if err := p.write(buffer[:n]); err != nil {
				return "one side stopped reading"
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = boundedlisten.CloseWrite(p.dst)
			return endClean
		case err != nil:
			p.broken()
			return "one side broke off"
		}
	}
}

func (p pipe) write(data []byte) error {
	if p.spend != nil {
		if err := p.spend(len(data)); err != nil {
			return err
		}
	}
	n, err := p.dst.Write(data)
	p.count(n)
	p.touch()
	return err
}
