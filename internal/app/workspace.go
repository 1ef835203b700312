package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/listing"
	"bottle.internal/internal/workspace/transfer"
)

// WorkspaceRequest says what is to be copied in.
type WorkspaceRequest struct {
	Dir     string
	Include []string
	History string
	CopyOut bool
}

// maxNamed is how many paths the preflight names for each reason.
const maxNamed = 5

// planWorkspace looks at the directory; nothing is copied yet.
func (a *App) planWorkspace(ctx context.Context, request WorkspaceRequest) (*plan.Workspace, error) {
	w := &plan.Workspace{
		Include: append([]string{}, request.Include...), History: request.History, CopyOut: request.CopyOut,
		Biggest: []string{}, Excluded: []plan.WorkspaceExcluded{}, Notes: []string{},
	}
	var err error
	if w.Dir, err = filepath.EvalSymlinks(a.hostPath(request.Dir)); err != nil {
		return nil, &Problem{Text: "there is no directory to copy in", Err: err, Hints: []string{"--copy-in ."}}
	}
	if info, err := os.Stat(w.Dir); err == nil && !info.IsDir() {
		return nil, &Problem{Text: w.Dir + " is no directory", Hints: []string{"--copy-in " + filepath.Dir(request.Dir)}}
	}
	for _, never := range []string{"/", a.dirs.home, a.state.Dir()} {
		if same(never, w.Dir) {
			return nil, &Problem{Text: w.Dir + " is no workspace", Hints: []string{"--copy-in a project's directory"}}
		}
	}
	found, err := listing.Scan(ctx, w.Dir, a.listingOptions(w))
	if err != nil {
		return nil, err
	}
	w.Files, w.Bytes, w.Notes = len(found.Files), found.Bytes, append(w.Notes, found.Notes...)
	for _, dir := range found.Biggest(3) {
		w.Biggest = append(w.Biggest, fmt.Sprintf("%s %s", dir.Path.Show(), bytesize.Of(dir.Bytes)))
	}
	if found.Git != nil {
		w.Commits = "the commits of " + cmp.Or(found.Git.Branch, "a detached HEAD") + ", " + bytesize.Of(found.Git.Bytes)
	}
	w.Excluded = reasons(found.Excluded)
	return w, nil
}

func (a *App) listingOptions(w *plan.Workspace) listing.Options {
	options := listing.Options{Include: w.Include, History: w.History, Limits: workspace.DefaultLimits(), Path: a.config.getenv("PATH")}
	if program, err := execx.Find("git"); err == nil {
		options.Git = program
	}
	return options
}

// reasons counts by reason, the commonest first.
func reasons(excluded []workspace.Excluded) []plan.WorkspaceExcluded {
	counted := []plan.WorkspaceExcluded{}
	for _, e := range excluded {
		at := slices.IndexFunc(counted, func(c plan.WorkspaceExcluded) bool { return c.Why == e.Why })
		if at < 0 {
			counted, at = append(counted, plan.WorkspaceExcluded{Why: e.Why}), len(counted)
		}
		if counted[at].Count++; len(counted[at].Paths) < maxNamed {
			counted[at].Paths = append(counted[at].Paths, e.Path.Show())
		}
	}
	slices.SortStableFunc(counted, func(a, b plan.WorkspaceExcluded) int { return cmp.Compare(b.Count, a.Count) })
	return counted
}

// fill copies a plan's workspace into its new machine.
func (a *App) fill(p plan.Plan) func(context.Context, guestexec.Runner) error {
	return func(ctx context.Context, run guestexec.Runner) error {
		instance, err := a.state.Open(names.Identity(p.Identity))
		if err != nil {
			return err
		}
		return transfer.In{
			Dir: p.Workspace.Dir, Workdir: p.Workdir, Listing: a.listingOptions(p.Workspace), Instance: instance, Events: a.events,
		}.Run(ctx, run)
	}
}

// CopyOut fetches what changed in a running bottle. dir is where it would go; empty: where
// the workspace came from. The caller closes it.
func (a *App) CopyOut(ctx context.Context, identity, dir string) (*transfer.Staged, error) {
	instance, err := a.open(identity)
	if err != nil {
		return nil, err
	}
	record, err := transfer.ReadRecord(instance)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir == "":
		return nil, &Problem{Text: "nothing was copied into " + identity + ": where to?", Hints: []string{"bottle copy-out " + identity + " DIRECTORY"}}
	case errors.Is(err, fs.ErrNotExist):
		record.Guest = guestapi.AgentWorkdir
	case err != nil:
		return nil, err
	}
	out := transfer.Out{
		Instance: instance, Record: record, Dir: record.Dir, Rules: changes.Rules{Protected: manifest.ProtectedPaths()}, Events: a.events,
	}
	if dir != "" {
		if out.Dir, err = filepath.EvalSymlinks(a.hostPath(dir)); err != nil {
			return nil, &Problem{Text: "there is no directory to copy out to", Err: err, Hints: []string{"mkdir " + dir}}
		}
	}
	return out.Fetch(ctx, func(ctx context.Context, command guestexec.Command, stdio guestexec.Stdio) (int, error) {
		return a.Exec(ctx, identity, command, stdio)
	})
}

// RecoverCopyOut ends a copy-out into a directory that was cut short.
func (a *App) RecoverCopyOut(dir string) (apply.Outcome, error) {
	return apply.Recover(a.hostPath(dir))
}
