package app

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
	"bottle.internal/pkg/smolvm"
)

// toolGrace is what an interrupted call of the VM tool, and so the agent, gets before it
// is killed; with the teardown it stays below mage's 5 s.
const toolGrace = time.Second

// vmTool finds the VM tool: $BOTTLE_SMOLVM, else smolvm on PATH, else our stand-in. It
// looks once.
func (a *App) vmTool(ctx context.Context) (*smolvm.Client, error) {
	return a.tool.get(func() (*smolvm.Client, error) { return a.findTool(ctx) })
}

func (a *App) findTool(ctx context.Context) (*smolvm.Client, error) {
	path := a.config.getenv("BOTTLE_SMOLVM")
	extra := map[string]string{}
	if path == "" {
		found, err := execx.Find(smolvm.NameSmolvm)
		switch {
		case err == nil:
			path = found
		case errors.Is(err, execx.ErrNotFound):
			if path, extra, err = a.buildLite(ctx); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	client, err := a.vmClient(ctx, path, extra)
	if err != nil && a.config.getenv("BOTTLE_SMOLVM") != "" {
		return nil, &Problem{Err: err, Hints: []string{"BOTTLE_SMOLVM names it: correct that, or: unset BOTTLE_SMOLVM"}}
	}
	return client, err
}

// vmClient asks the tool at path who it is.
func (a *App) vmClient(ctx context.Context, path string, extra map[string]string) (*smolvm.Client, error) {
	env := smolvm.Environ(a.config.Environ, extra)
	tool, err := smolvm.Detect(ctx, path, env)
	if err != nil {
		return nil, err
	}
	return smolvm.New(smolvm.Config{Tool: tool, Env: env, Grace: toolGrace}), nil
}

// buildLite builds smolvm-lite and its PID 1 from the checkout.
func (a *App) buildLite(ctx context.Context) (path string, env map[string]string, err error) {
	if err := liteRuns(a.config.OS); err != nil {
		return "", nil, err
	}
	if !a.programs().CanBuild() {
		return "", nil, noCheckout("smolvm is not on PATH, and smolvm-lite is built from the checkout of bottle, which was not found")
	}
	var lite, pid1 string
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		lite, err = a.program(ctx, "./cmd/smolvm-lite")
		return err
	})
	group.Go(func() (err error) {
		pid1, err = a.program(ctx, "./cmd/lite-init")
		return err
	})
	if err := group.Wait(); err != nil {
		return "", nil, err
	}
	return lite, map[string]string{"SMOLVM_LITE_INIT": pid1, "SMOLVM_LITE_KERNEL": a.kernelDir()}, nil
}

// liteRuns says whether the stand-in can take the tool's place on a system.
func liteRuns(goos string) error {
	if goos == "linux" {
		return nil
	}
	return &Problem{
		Text:  "smolvm is not on PATH, and its stand-in smolvm-lite runs on Linux only",
		Hints: []string{"install smolvm 1.8.1 or newer and put it on PATH", "or name it: export BOTTLE_SMOLVM=/path/to/smolvm"},
	}
}

func (a *App) program(ctx context.Context, pkg string) (string, error) {
	program, err := a.programs().Build(ctx, gobuild.Target{
		Package: pkg, Name: filepath.Base(pkg), OS: a.config.OS, Arch: a.config.Arch,
	})
	return program.Path, err
}

func (a *App) programs() *gobuild.Builder {
	return &gobuild.Builder{Root: a.source, Prebuilt: a.config.Prebuilt, CacheDir: a.dirs.cache, Env: a.config.Environ}
}
