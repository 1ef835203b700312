package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagepack"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/smolvm"
)

// The recipes of this repository.
const (
	agentRecipe  = "agent"
	bundleRecipe = "bundle"
)

// ImageReport says what became of one image.
type ImageReport struct {
	Name    string   `json:"name"`
	Digest  string   `json:"digest"`
	Cached  bool     `json:"cached"`
	Path    string   `json:"path,omitempty"` // of the packed artifact
	Pushed  int64    `json:"pushed_bytes"`   // to the registry or the engine
	Explain []string `json:"explain"`
}

// guestPlatform is the platform of both images: Linux on the host's processor.
func guestPlatform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// agentJob plans the agent image with some tools; it builds no image.
func (a *App) agentJob(ctx context.Context, tools []string) (*imagebuild.Job, error) {
	return a.job(ctx, agentRecipe, tools)
}

// job plans an image once for each set of tools.
func (a *App) job(ctx context.Context, recipe string, tools []string) (*imagebuild.Job, error) {
	key := strings.Join(append([]string{recipe}, tools...), " ")
	a.mu.Lock()
	job, ok := a.jobs[key]
	if !ok {
		job = &once[*imagebuild.Job]{}
		a.jobs[key] = job
	}
	a.mu.Unlock()
	return job.get(func() (*imagebuild.Job, error) { return a.planJob(ctx, recipe, tools) })
}

func (a *App) planJob(ctx context.Context, recipe string, tools []string) (*imagebuild.Job, error) {
	if !a.programs().CanBuild() {
		return nil, noCheckout("our programs are built from the checkout of bottle, which was not found")
	}
	parsed, err := a.recipe(recipe)
	if err != nil {
		return nil, err
	}
	selection := imagebuild.Selection{Platform: guestPlatform(), Tools: tools}
	if recipe == bundleRecipe {
		if selection.Supplied, err = a.supplied(); err != nil {
			return nil, err
		}
	}
	lock, err := a.lock()
	if err != nil {
		return nil, err
	}
	job, err := a.builder(lock).Plan(ctx, parsed, selection)
	if err != nil {
		return nil, err
	}
	return job, a.heldTo(lock, job)
}

func noCheckout(text string) *Problem {
	return &Problem{Text: text, Hints: []string{"cd into the checkout", "or name it: export BOTTLE_SOURCE=/path/to/bottle"}}
}

// image adapts a job to the pack cache.
func (a *App) image(name string, job *imagebuild.Job) imagepack.Image {
	parts := make([]imagepack.Part, 0, len(job.Explain()))
	for _, part := range job.Explain() {
		parts = append(parts, imagepack.Part{Name: part.Name, Value: part.Value})
	}
	return imagepack.Image{Name: name, Key: job.Key(), Parts: parts, Build: func(ctx context.Context) (v1.Image, error) {
		a.mentionLock(ctx, job)
		return job.Build(ctx)
	}}
}

// store is the pack cache for one VM tool; without a tool it only loads images.
func (a *App) store(client *smolvm.Client) *imagepack.Store {
	config := imagepack.Config{
		CacheDir: a.dirs.cache, Platform: guestPlatform().String(), Events: a.events, Now: time.Now,
	}
	if client != nil {
		config.Packer = packer{client: client, ownRoot: a.config.UID != 0}
	}
	return imagepack.NewStore(config)
}

// packer is the VM tool as the pack cache wants it.
type packer struct {
	client  *smolvm.Client
	ownRoot bool // it may have a copy of smolvm's
}

// Tool implements [imagepack.Packer].
func (p packer) Tool() (name, version string) {
	tool := p.client.Tool()
	return tool.Name, tool.Version.String()
}

// PackCreate implements [imagepack.Packer].
func (p packer) PackCreate(ctx context.Context, ref, output, platform string, progress io.Writer) error {
	client := p.client
	if source := client.AgentRootfs(); source != "" && p.ownRoot { // the packing machine must not change everybody's
		dir := filepath.Join(filepath.Dir(output), "agent-rootfs")
		defer func() { _ = os.RemoveAll(dir) }()
		if err := copyRootfs(source, dir); err != nil {
			return err
		}
		client = client.WithRootfs(dir)
	}
	err := client.PackCreate(ctx, smolvm.PackOptions{
		Image: ref, Output: output, Platform: platform, StagingDir: filepath.Dir(output), Progress: progress,
	})
	// Newer releases may deny the packing VM the host's loopback. No version says so in
	// one agreed way; the pull's own words are what there is.
	if err != nil && p.client.Tool().Name == smolvm.NameSmolvm && refusedLoopback(err.Error()) {
		return errors.Join(imagepack.ErrRegistryRefused, err)
	}
	return err
}

func refusedLoopback(text string) bool {
	for _, sign := range []string{"connection refused", "network is unreachable", "no route to host"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// artifact packs the agent image of a plan, if that was not done before.
func (a *App) artifact(ctx context.Context, client *smolvm.Client, tools []string) (imagepack.Artifact, error) {
	job, err := a.agentJob(ctx, tools)
	if err != nil {
		return imagepack.Artifact{}, err
	}
	return a.store(client).Ensure(ctx, a.image(imageName(tools), job))
}

// imageName tells the images of different agents apart in explanations.
func imageName(tools []string) string {
	return strings.Join(append([]string{agentRecipe}, tools...), "-")
}

// Images builds and packs what the agents need, and loads the bundle's image.
func (a *App) Images(ctx context.Context, agents []string) ([]ImageReport, error) {
	tools, err := a.toolsOf(agents)
	if err != nil {
		return nil, err
	}
	client, err := a.vmTool(ctx)
	if err != nil {
		return nil, err
	}
	var reports []ImageReport
	for _, tools := range tools {
		packed, err := a.artifact(ctx, client, tools)
		if err != nil {
			return nil, fmt.Errorf("making the image %s: %w", imageName(tools), err)
		}
		reports = append(reports, ImageReport{
			Name: imageName(tools), Digest: packed.ImageDigest, Cached: packed.Cached, Path: packed.Path,
			Pushed: packed.Pushed, Explain: lines(packed.Explain.String()),
		})
	}
	engine, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	loaded, explain, err := a.loadBundle(ctx, engine)
	if err != nil {
		return nil, fmt.Errorf("making the image %s: %w", bundleRecipe, err)
	}
	return append(reports, ImageReport{
		Name: bundleRecipe, Digest: loaded.ID, Cached: loaded.Cached, Pushed: loaded.Sent, Explain: explain,
	}), nil
}

// toolsOf lists the different sets of tools that the agents need; without agents, the
// demo's, which are none.
func (a *App) toolsOf(agents []string) ([][]string, error) {
	agents = slices.DeleteFunc(slices.Clone(agents), func(name string) bool { return name == "" })
	if len(agents) == 0 {
		return [][]string{nil}, nil
	}
	set, err := a.manifest()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for _, name := range agents {
		if _, known := set.Agents[name]; !known {
			return nil, unknownAgent(set, name)
		}
		tools := plan.NeedsOf(set, name).Tools
		if !slices.ContainsFunc(all, func(have []string) bool { return slices.Equal(have, tools) }) {
			all = append(all, tools)
		}
	}
	return all, nil
}

// unknownAgent lets Resolve say it, so that the message is the same everywhere.
func unknownAgent(set *manifest.Set, name string) error {
	_, err := plan.Resolve(set, plan.Request{Agent: name}, plan.Facts{})
	return err
}

func (a *App) loadBundle(ctx context.Context, engine imagepack.Engine) (imagepack.Loaded, []string, error) {
	job, err := a.job(ctx, bundleRecipe, nil)
	if err != nil {
		return imagepack.Loaded{}, nil, err
	}
	store, bundle := a.store(nil), a.image(bundleRecipe, job)
	loaded, err := store.EnsureLoaded(ctx, engine, bundle)
	if err != nil {
		return imagepack.Loaded{}, nil, engineProblem(err)
	}
	return loaded, lines(store.Explain(bundle).String()), nil
}

func lines(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }
