package gitgate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/printable"
)

// quarantine holds the objects of one push beside those of the mirror.
type quarantine struct {
	gate   *Gate
	remote *remoteState
	dir    string
	env    []string
}

func (g *Gate) newQuarantine(remote *remoteState) (*quarantine, error) {
	dir := filepath.Join(g.quarantines(), "push-"+randomName())
	if err := os.MkdirAll(filepath.Join(dir, "pack"), 0o700); err != nil {
		return nil, fmt.Errorf("making the quarantine: %w", err)
	}
	return &quarantine{g, remote, dir, []string{
		"GIT_OBJECT_DIRECTORY=" + dir,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + filepath.Join(remote.mirror, "objects"),
	}}, nil
}

// remove is called whatever happened.
func (q *quarantine) remove() { _ = os.RemoveAll(q.dir) }

// run describes a git command that sees the mirror and the quarantine.
func (q *quarantine) run(args ...string) gitRun {
	return gitRun{dir: q.remote.mirror, args: args, env: q.env}
}

// unpack takes in the pack: whole, well-formed, and with every object that it leads to.
func (q *quarantine) unpack(ctx context.Context, pack io.Reader, limit int64) error {
	run := q.run("index-pack", "--stdin", "--fix-thin", "--strict", "--threads=2", fmt.Sprintf("--max-input-size=%d", limit))
	run.stdin = pack
	err := q.gate.git(ctx, run)
	exit := (*execx.ExitError)(nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.As(err, &exit):
		return fmt.Errorf("unpacking: %w", err)
	case strings.Contains(exit.Stderr, "maximum allowed size"):
		return refuse(ruleLimit, "the push is larger than %d bytes", limit)
	case exit.Signal != 0:
		return refuse(ruleLimit, "the push needs more memory or time than it may have")
	}
	return refuse(rulePack, "the pack is not well-formed: %s", printable.ASCII(lastLine(exit.Stderr), 200))
}

// checkTips makes sure that every new value is a commit.
func (q *quarantine) checkTips(ctx context.Context, commands []command) error {
	var ask bytes.Buffer
	for _, cmd := range commands {
		ask.WriteString(cmd.New + "\n")
	}
	run := q.run("cat-file", "--batch-check=%(objecttype)")
	run.stdin = &ask
	out, err := q.gate.gitOutput(ctx, run, 64<<10)
	if err != nil {
		return fmt.Errorf("looking at the new commits: %w", err)
	}
	kinds := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for i, cmd := range commands {
		if i >= len(kinds) || kinds[i] != "commit" {
			return &refusal{rule: rulePack, reason: "its new value is not a commit of this push or the repository", ref: cmd.Ref}
		}
	}
	return nil
}

// checkForward refuses what would take commits away from a branch. What the branch is at
// the upstream is checked by the upstream, against the old value.
func (q *quarantine) checkForward(ctx context.Context, commands []command) error {
	for _, cmd := range commands {
		if cmd.Old == zeroOID {
			continue
		}
		err := q.gate.git(ctx, q.run("merge-base", "--is-ancestor", cmd.Old, cmd.New))
		exit := (*execx.ExitError)(nil)
		switch {
		case err == nil:
		case errors.As(err, &exit) && exit.Code == 1:
			return &refusal{rule: ruleForce, reason: "it is not a fast-forward, and force is not allowed", ref: cmd.Ref}
		case errors.As(err, &exit) && exit.Code == 128:
			return &refusal{rule: ruleStale, reason: "its old value is not known here: fetch first", ref: cmd.Ref}
		default:
			return fmt.Errorf("comparing with the branch: %w", err)
		}
	}
	return nil
}
