package gitgate

import (
	"context"
	"net/http"
	"time"

	"bottle.internal/internal/printable"
)

// fetchTimeout bounds one upload-pack.
const fetchTimeout = time.Hour

// advertiseFetch refreshes first and fails closed: the agent never gets what may be old.
func (g *Gate) advertiseFetch(w http.ResponseWriter, r *http.Request, remote *remoteState) {
	if err := g.refresh(r.Context(), remote, reuse); err != nil {
		g.journal.Write(line{Event: eventFetch, Remote: remote.spec.Name, Problem: printable.ASCII(err.Error(), 400)})
		gitError(w, "upload-pack", err.Error())
		return
	}
	g.journal.Write(line{Event: eventFetch, Remote: remote.spec.Name})
	noStore(w, "application/x-git-upload-pack-advertisement")
	if protocol(r) != "version=2" { // like git's own server
		_, _ = w.Write(append(appendPkt(nil, "# service=git-upload-pack\n"), "0000"...))
	}
	_ = g.runUploadPack(w, r, remote, "--http-backend-info-refs")
}

func protocol(r *http.Request) string {
	if value := r.Header.Get("Git-Protocol"); protocolPattern.MatchString(value) {
		return value
	}
	return ""
}

func (g *Gate) uploadPack(w http.ResponseWriter, r *http.Request, remote *remoteState) {
	if err := g.known(r.Context(), remote); err != nil {
		http.Error(w, "git-gate: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	noStore(w, "application/x-git-upload-pack-result")
	_ = g.runUploadPack(w, r, remote, "")
}

// known refuses to serve a mirror that was never compared with its upstream by this gate.
func (g *Gate) known(ctx context.Context, remote *remoteState) error {
	remote.upstream.mu.Lock()
	known := remote.upstream.known
	remote.upstream.mu.Unlock()
	if known {
		return nil
	}
	return g.refresh(ctx, remote, reuse)
}

// runUploadPack leaves a failure in the middle to git: the client sees a torn answer.
func (g *Gate) runUploadPack(w http.ResponseWriter, r *http.Request, remote *remoteState, mode string) error {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	ctx, cancel := context.WithTimeout(r.Context(), fetchTimeout)
	defer cancel()
	in, err := body(w, r, maxFetchBody)
	if err != nil {
		return err
	}
	args := []string{"upload-pack", "--strict", "--stateless-rpc"}
	if mode != "" {
		args = append(args, mode)
	}
	run := gitRun{
		args: append(args, "--", remote.mirror), stdin: in,
		stdout: stallWriter{w, http.NewResponseController(w)},
	}
	if value := protocol(r); value != "" {
		run.env = []string{"GIT_PROTOCOL=" + value}
	}
	return g.git(ctx, run)
}
