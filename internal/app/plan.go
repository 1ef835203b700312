package app

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/smolvm"
)

// liteNote is what the stand-in has to say about itself.
const liteNote = "stand-in over QEMU: shows behaviour, not isolation strength"

// PlanRequest is what was asked for.
type PlanRequest struct {
	Agent    string
	TrustCwd bool           // agents from ./bottle.toml are wanted
	Asks     bool           // a person will be asked for a yes
	Identity names.Identity // of a bottle that exists; empty: a new one
	Terminal bool           // the agent gets a terminal
	Prompt   plan.PromptMode
	// Workspace is what is copied in; nil: nothing.
	Workspace *WorkspaceRequest
}

// Plan resolves a request. It builds our own programs, but no image.
func (a *App) Plan(ctx context.Context, request PlanRequest) (plan.Plan, error) {
	set, err := a.manifest()
	if err != nil {
		return plan.Plan{}, err
	}
	want := plan.Request{
		Agent: request.Agent, Identity: request.Identity, CwdTrusted: request.TrustCwd, Asks: request.Asks,
		Terminal: request.Terminal, PromptMode: request.Prompt,
	}
	if _, known := set.Agents[request.Agent]; !known {
		// Resolve has the message for it; nothing needs to be looked up.
		return plan.Resolve(set, want, plan.Facts{})
	}
	if want.Identity == "" {
		if want.Identity, err = names.NewIdentity(request.Agent, rand.Reader); err != nil {
			return plan.Plan{}, err
		}
	}
	facts, err := a.facts(ctx, plan.NeedsOf(set, request.Agent))
	if err != nil {
		return plan.Plan{}, err
	}
	facts.TTY = request.Asks
	p, err := plan.Resolve(set, want, facts)
	if err != nil || request.Workspace == nil {
		return p, err
	}
	p.Workspace, err = a.planWorkspace(ctx, *request.Workspace)
	return p, err
}

// manifest reads the user's manifest and the working directory's.
func (a *App) manifest() (*manifest.Set, error) {
	user := a.ManifestPath()
	var sources manifest.Sources
	var err error
	if sources.User, err = manifest.Read(user); err != nil {
		return nil, err
	}
	cwd := filepath.Join(a.config.Dir, ManifestName)
	if same(user, cwd) {
		return manifest.Load(sources)
	}
	source, err := manifest.Read(cwd)
	switch {
	case err == nil:
		sources.Cwd = &source
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return manifest.Load(sources)
}

func same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// facts looks up what Resolve has to know.
func (a *App) facts(ctx context.Context, needs plan.Needs) (plan.Facts, error) {
	facts := plan.Facts{FirewallEngine: a.firewallEngine(), HostEnv: map[string]bool{}, Files: map[string]plan.FileFact{}}
	for _, name := range needs.Env {
		facts.HostEnv[name] = a.isSet(name)
	}
	for _, ref := range needs.Files {
		facts.Files[ref.Path] = a.fileFact(ref)
	}
	var client *smolvm.Client
	var job *imagebuild.Job
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		client, err = a.vmTool(ctx)
		return err
	})
	group.Go(func() (err error) {
		job, err = a.agentJob(ctx, needs.Tools)
		return err
	})
	if err := group.Wait(); err != nil {
		return plan.Facts{}, err
	}
	tool := client.Tool()
	facts.VMTool = plan.VMTool{Name: tool.Name, Version: tool.Version.String()}
	if tool.Name == smolvm.NameLite {
		facts.VMTool.Note = liteNote
	}
	facts.RecipeKey = job.Key()
	recipe, err := a.recipe(agentRecipe)
	if err != nil {
		return plan.Facts{}, err
	}
	facts.ImageTools = recipe.Tools()
	return facts, nil
}

func (a *App) isSet(name string) bool {
	return slices.ContainsFunc(a.config.Environ, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// hostPath expands ~/ and relative paths of a plan.
func (a *App) hostPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(a.dirs.home, rest)
	}
	if !filepath.IsAbs(path) {
		return filepath.Join(a.config.Dir, path)
	}
	return path
}

func (a *App) fileFact(ref plan.FileRef) plan.FileFact {
	path := a.hostPath(ref.Path)
	info, err := os.Stat(path)
	if err != nil {
		return plan.FileFact{}
	}
	fact := plan.FileFact{Exists: true, Dir: info.IsDir(), Mode: uint32(info.Mode().Perm())}
	if ref.Root != "" {
		_, err := inside(a.hostPath(ref.Root), path, (*os.Root).Stat)
		fact.Outside = err != nil
	}
	return fact
}

// promptText reads the prompt of a plan.
func (a *App) promptText(p plan.Prompt) ([]byte, error) {
	switch {
	case p.File == "":
		return []byte(p.Text), nil
	case p.Root == "":
		return os.ReadFile(a.hostPath(p.File))
	}
	return inside(a.hostPath(p.Root), a.hostPath(p.File), (*os.Root).ReadFile)
}

// inside looks at path without leaving dir through a symlink.
func inside[T any](dir, path string, look func(*os.Root, string) (T, error)) (T, error) {
	var nothing T
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return nothing, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nothing, err
	}
	defer root.Close()
	return look(root, name)
}
