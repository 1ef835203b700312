//go:build integration

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
)

// Rig is a place to run bottles from.
type Rig struct {
	Source string   // the checkout
	Dir    string   // temporary, short, private
	Bottle string   // the program under test
	Env    []string // of every run
	VMTool string
	VMEnv  []string
	Data   string // where the VM tool keeps its machines
}

// New builds bottle and the VM tool. Caches are the user's own, so that no base is made
// again; the state directory is not.
func New(ctx context.Context) (*Rig, error) {
	source, err := gobuild.FindRoot(".")
	if err != nil {
		return nil, err
	}
	// The path of a unix socket is short, so $TMPDIR may not do.
	dir, err := os.MkdirTemp("/tmp", "bt-")
	if err != nil {
		return nil, err
	}
	r := &Rig{Source: source, Dir: dir, Bottle: filepath.Join(dir, "bottle")}
	r.Env = Set(os.Environ(), "XDG_STATE_HOME="+filepath.Join(dir, "s"), "BOTTLE_SOURCE="+source)
	if os.Getenv("BOTTLE_BASE") == "" {
		r.Env = Set(r.Env, "BOTTLE_BASE=debian")
	}
	if err := r.build(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close removes the temporary directory.
func (r *Rig) Close() error { return os.RemoveAll(r.Dir) }

// UseManifest makes text the manifest of every run, in which the variables are set, too.
func (r *Rig) UseManifest(text string, variables ...string) error {
	path := filepath.Join(r.Dir, "m.toml")
	r.Env = Set(r.Env, append(variables, "BOTTLE_MANIFEST="+path)...)
	return os.WriteFile(path, []byte(text), 0o600)
}

// StateDir is where the bottles of this rig are.
func (r *Rig) StateDir() string { return filepath.Join(r.Dir, "s", "bottle") }

func (r *Rig) build(ctx context.Context) error {
	if err := r.Build(ctx, "./cmd/bottle", r.Bottle); err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	data, cache := Dir("XDG_DATA_HOME", home, ".local/share"), Dir("XDG_CACHE_HOME", home, ".cache")
	r.Data, r.VMEnv = data, r.Env
	if r.VMTool = os.Getenv("BOTTLE_SMOLVM"); r.VMTool != "" {
		return nil
	}
	if r.VMTool, err = execx.Find("smolvm"); err == nil {
		return nil
	}
	// The stand-in is the very program that bottle uses: same builder, same cache.
	programs := &gobuild.Builder{Root: r.Source, CacheDir: filepath.Join(cache, "bottle"), Env: r.Env}
	lite, err := programs.Build(ctx, target("smolvm-lite"))
	if err != nil {
		return err
	}
	first, err := programs.Build(ctx, target("lite-init"))
	if err != nil {
		return err
	}
	r.VMTool, r.VMEnv = lite.Path, Set(r.Env, "SMOLVM_LITE_INIT="+first.Path)
	return nil
}

func target(name string) gobuild.Target {
	return gobuild.Target{Package: "./cmd/" + name, Name: name, OS: runtime.GOOS, Arch: runtime.GOARCH}
}

// Dir is an XDG directory.
func Dir(variable, home, fallback string) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(home, fallback)
}

// Build builds a static program for Linux out of a package of the checkout.
func (r *Rig) Build(ctx context.Context, pkg, output string) error {
	return execx.Run(ctx, execx.Cmd{
		Path: "go", Args: []string{"build", "-trimpath", "-o", output, pkg}, Dir: r.Source,
		Env: Set(os.Environ(), "CGO_ENABLED=0"),
	})
}

// Set replaces variables of an environment.
func Set(env []string, entries ...string) []string {
	out := slices.Clone(env)
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry, "=")
		out = slices.DeleteFunc(out, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		out = append(out, entry)
	}
	return out
}

// Result is how a program ended.
type Result struct {
	Code   int // -1: killed
	Stdout string
	Stderr string
}

// String shows all of it, for failures.
func (r Result) String() string {
	return fmt.Sprintf("exit %d\nstdout:\n%s\nstderr:\n%s", r.Code, r.Stdout, r.Stderr)
}

// Run runs bottle to its end, without a terminal.
func (r *Rig) Run(ctx context.Context, args ...string) (Result, error) {
	return RunProgram(ctx, execx.Cmd{Path: r.Bottle, Args: args, Env: r.Env, Dir: r.Dir})
}

// RunProgram runs a program and keeps what it says. An error means that it did not run.
func RunProgram(ctx context.Context, cmd execx.Cmd) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := execx.Run(ctx, cmd)
	result := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ok := errors.AsType[*execx.ExitError](err); ok {
		result.Code, err = exit.Code, nil
	}
	return result, err
}

// Identity finds the name of the bottle in what `bottle start` has printed so far.
func Identity(stderr string) string {
	for line := range strings.Lines(stderr) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "identity" {
			return fields[1]
		}
	}
	return ""
}
