package gitgate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/gitgate/pushscan"
	"bottle.internal/internal/printable"
)

// capabilities are what a push may ask for. There is no delete-refs and no push-options.
const capabilities = "report-status side-band-64k quiet atomic ofs-delta object-format=sha1 agent=git/bottle-gate"

// push is one push under way.
type push struct {
	gate    *Gate
	remote  *remoteState
	limits  Limits
	request pushRequest
	serial  uint64
	begin   time.Time
	reply   *reply
	found   contents
}

// advertisePush tells what the mirror has. Whether it is the newest state is checked by the
// upstream itself, when the push is forwarded.
func (g *Gate) advertisePush(w http.ResponseWriter, r *http.Request, remote *remoteState) {
	// The push comes next and needs them; without one, they would be memory for nothing.
	var rules sync.WaitGroup
	rules.Go(g.rules.Compile)
	defer rules.Wait()
	err := g.refresh(r.Context(), remote, pushReuse)
	var have listing
	if err == nil {
		have, err = g.listMirror(r.Context(), remote)
	}
	if err != nil {
		g.journal.Write(line{Event: eventFetch, Remote: remote.spec.Name, Problem: printable.ASCII(err.Error(), 400)})
		gitError(w, "receive-pack", asRefusal(err).Error())
		return
	}
	noStore(w, "application/x-git-receive-pack-advertisement")
	out := appendPkt(nil, "# service=git-receive-pack\n")
	out = append(out, "0000"...)
	caps := "\x00" + capabilities
	names := make([]string, 0, len(have.refs))
	for name := range have.refs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = appendPkt(out, have.refs[name]+" "+name+caps+"\n")
		caps = ""
	}
	if len(names) == 0 {
		out = appendPkt(out, zeroOID+" capabilities^{}"+caps+"\n")
	}
	_, _ = w.Write(append(out, "0000"...))
}

// receivePack answers in git's own form; only what is no push at all gets a status.
func (g *Gate) receivePack(w http.ResponseWriter, r *http.Request, remote *remoteState) {
	limits := g.config.Load().limits
	in, err := body(w, r, limits.PushBytes+(1<<20))
	if err != nil {
		g.refuse(w, r, refused{http.StatusBadRequest, "the body cannot be read"})
		return
	}
	reader := bufio.NewReaderSize(in, 64<<10)
	request, err := readPushRequest(reader)
	if err != nil {
		g.refuse(w, r, refused{http.StatusBadRequest, printable.ASCII(err.Error(), 120)})
		return
	}
	noStore(w, "application/x-git-receive-pack-result")
	if len(request.Commands) == 0 {
		return
	}
	p := &push{
		gate: g, remote: remote, limits: limits, request: request, serial: g.serial.Add(1), begin: g.options.Now(),
		reply: newReply(stallWriter{w, http.NewResponseController(w)}, request),
	}
	ctx, cancel := context.WithTimeout(r.Context(), seconds(limits.PushSeconds))
	defer cancel()
	why := p.run(ctx, reader, func() { drain(reader, &stallReader{r.Body, http.NewResponseController(w)}) })
	p.log(why)
	if why != nil && why.note != "" {
		p.reply.say(why.note)
	}
	p.reply.finish(request.Commands, why)
}

// drain reads the rest of a push: the client reads its answer only after it sent all.
func drain(readers ...io.Reader) {
	for _, reader := range readers {
		_, _ = io.CopyN(io.Discard, reader, drainLimit)
	}
}

// run is the whole way of a push; nil means that the upstream took it. drained reads what
// the client still sends; nothing may be said to it before.
func (p *push) run(ctx context.Context, pack io.Reader, drained func()) *refusal {
	done := false
	finish := func() {
		if !done {
			drained()
			done = true
		}
	}
	defer finish()
	if why := p.checkRequest(ctx); why != nil {
		return why
	}
	if err := p.enter(ctx); err != nil {
		return asRefusal(err)
	}
	defer func() { <-p.remote.upstream.pushing }()
	if err := p.gate.known(ctx, p.remote); err != nil {
		return asRefusal(err)
	}
	q, err := p.gate.newQuarantine(p.remote)
	if err != nil {
		return asRefusal(err)
	}
	defer q.remove()
	if err := q.unpack(ctx, pack, p.limits.PushBytes); err != nil {
		return asRefusal(err)
	}
	finish()
	waiting, heard := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() { p.reply.keepAlive(waiting) })
	err = p.judge(ctx, q)
	heard()
	alive.Wait()
	if err != nil {
		return asRefusal(err)
	}
	return nil
}

// enter waits for the other push of the same remote, but not for ever.
func (p *push) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, seconds(p.limits.WaitSeconds))
	defer cancel()
	select {
	case p.remote.upstream.pushing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return refuse(ruleBusy, "another push to %s is under way; try again", p.remote.spec.Name)
	}
}

// checkRequest looks at what is asked for, before any object is.
func (p *push) checkRequest(ctx context.Context) *refusal {
	commands := p.request.Commands
	for _, cmd := range commands { // before all else: every other refusal tells the name
		if fingerprint, found := p.gate.config.Load().canaries.Find(cmd.Ref); found {
			why := inName(pushscan.CanaryRule, cmd.Ref)
			why.canary = fingerprint
			return why
		}
	}
	switch {
	case len(commands) > p.limits.Refs:
		return refuse(ruleCount, "%d refs, at most %d are allowed in one push", len(commands), p.limits.Refs)
	case p.request.Shallow:
		return refuse(ruleCapability, "a shallow clone cannot push: run git fetch --unshallow first")
	case p.request.has("push-options"):
		return refuse(ruleCapability, "push options are not allowed")
	}
	for _, c := range p.request.Caps {
		if format, ok := strings.CutPrefix(c, "object-format="); ok && format != "sha1" {
			return refuse(ruleCapability, "object format %s is not supported", printable.ASCII(format, 20))
		}
	}
	for i, cmd := range commands {
		why := p.remote.spec.check(cmd)
		if why == nil && slices.ContainsFunc(commands[:i], func(c command) bool { return c.Ref == cmd.Ref }) {
			why = refuse(ruleName, "it is there twice")
		}
		if why != nil {
			why.ref = cmd.Ref
			return why
		}
	}
	return p.scanNames(ctx)
}

// scanNames looks for secrets in the names of the refs.
func (p *push) scanNames(ctx context.Context) *refusal {
	scan, err := p.gate.rules.NewScan(p.gate.config.Load().canaries, 0)
	if err != nil {
		return asRefusal(err)
	}
	for _, cmd := range p.request.Commands {
		found, err := scan.Text(ctx, "", []byte(cmd.Ref))
		if err != nil {
			return asRefusal(err)
		}
		if found != nil {
			return inName(found.Rule, cmd.Ref)
		}
	}
	return nil
}

func inName(rule, ref string) *refusal {
	return &refusal{rule: rule, reason: "a secret was found in the name of the branch, rule " + rule, ref: ref, hide: true}
}

// judge looks at the objects, asks whom it must, and forwards.
func (p *push) judge(ctx context.Context, q *quarantine) error {
	commands := p.request.Commands
	if err := q.checkTips(ctx, commands); err != nil {
		return err
	}
	if err := q.checkForward(ctx, commands); err != nil {
		return err
	}
	found, err := q.newObjects(ctx, commands, p.limits)
	if err != nil {
		return err
	}
	p.found = found
	p.reply.progress(fmt.Sprintf("scanning %d new commits, %d objects", len(found.commits), found.count()))
	files, err := p.look(ctx, q)
	if err != nil {
		return err
	}
	if err := p.approve(ctx, files); err != nil {
		return err
	}
	return p.forward(ctx, q)
}

func (c contents) count() int { return len(c.commits) + len(c.trees) + len(c.blobs) }

// look scans the objects and finds the protected files, one push at a time.
func (p *push) look(ctx context.Context, q *quarantine) ([]string, error) {
	select {
	case p.gate.scanning <- struct{}{}:
		defer func() { <-p.gate.scanning }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	files, err := q.protectedFiles(ctx, p.found.commits)
	if err != nil {
		return nil, err
	}
	if err := q.inspect(ctx, p.found, p.limits); err != nil {
		return nil, err
	}
	return files, nil
}
