package gitgate

import (
	"context"
	"io"
	"sync"
	"time"

	"bottle.internal/internal/printable"
)

// reply is the answer to a push, as the client asked for it.
type reply struct {
	mu     sync.Mutex
	to     io.Writer
	report bool
	band   bool
	quiet  bool
}

func newReply(to io.Writer, request pushRequest) *reply {
	return &reply{to: to, report: request.has("report-status"), band: request.has("side-band-64k"), quiet: request.has("quiet")}
}

// aliveEvery is how often a client that waits hears something, so that nobody on the way
// takes its connection for dead.
const aliveEvery = 5 * time.Second

// keepAlive sends nothing, in git's form, until ctx ends.
func (r *reply) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(aliveEvery)
	defer ticker.Stop()
	for r.band {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.send(appendPkt(nil, string(rune(bandProgress))))
		}
	}
}

func (r *reply) send(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.to.Write(data) // a client that went away is seen by its context
}

const (
	bandData     = 1
	bandProgress = 2
	bandSize     = maxPkt - 1
)

// say shows the user a line while the push is under way, or why it is refused.
func (r *reply) say(text string) {
	if r.band {
		r.send(appendPkt(nil, string(rune(bandProgress))+"git-gate: "+text+"\n"))
	}
}

// progress is say for what a quiet client does not want to hear.
func (r *reply) progress(text string) {
	if !r.quiet {
		r.say(text)
	}
}

// finish reports on every ref: why is nil for a push that was taken.
func (r *reply) finish(commands []command, why *refusal) {
	out := appendPkt(nil, "unpack ok\n")
	for _, cmd := range commands {
		switch {
		case why == nil:
			out = appendPkt(out, "ok "+cmd.Ref+"\n")
		case why.ref == "" || why.ref == cmd.Ref:
			out = appendPkt(out, "ng "+cmd.Ref+" "+printable.ASCII(why.Error(), 900)+"\n")
		default:
			out = appendPkt(out, "ng "+cmd.Ref+" not taken because another ref was refused\n")
		}
	}
	out = append(out, "0000"...)
	switch {
	case !r.report:
	case !r.band:
		r.send(out)
	default:
		r.banded(out)
	}
}

func (r *reply) banded(out []byte) {
	var all []byte
	for len(out) > 0 {
		n := min(len(out), bandSize)
		all = appendPkt(all, string(rune(bandData))+string(out[:n]))
		out = out[n:]
	}
	r.send(append(all, "0000"...))
}
