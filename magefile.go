//go:build mage

// The targets of bottle. Each is a door to internal/cli, where the logic is; so `mage
// run demo` and `bottle start demo` cannot drift apart.
package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/magefile/mage/mg"
	"github.com/magefile/mage/sh"
	"golang.org/x/term"

	"bottle.internal/internal/app"
	"bottle.internal/internal/cli"
	"bottle.internal/internal/fuzzing"
)

// This runs before mage's generated main reads os.Args: see docs/adr/0008.
var _ = takeSettings()

func takeSettings() error {
	args, env := cli.MageArgs(os.Args, os.Getenv("AGENT"))
	os.Args = args
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Setup checks this machine and installs what is missing, where that is possible.
func Setup(ctx context.Context) error { return bottle(ctx, "setup") }

// Doctor reports what this machine has, what is missing, and the fix.
func Doctor(ctx context.Context) error { return bottle(ctx, "doctor") }

// Base chooses the base of the agent image again and builds it.
func Base(ctx context.Context) error { return bottle(ctx, "base") }

// Images builds and packs the images; AGENT names an agent other than the demo.
func Images(ctx context.Context) error { return bottle(ctx, "images", os.Getenv("AGENT")) }

// Run runs an agent in a bottle: mage run demo, or mage run AGENT=demo.
func Run(ctx context.Context, agent string) error {
	mg.CtxDeps(ctx, Setup)
	args := []string{"start", agent}
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		args = append(args, "--yes")
	}
	return bottle(ctx, args...)
}

// Up runs the agent that $AGENT names: AGENT=demo mage up.
func Up(ctx context.Context) error { return Run(ctx, os.Getenv("AGENT")) }

// Test runs the unit tests, with the race detector and in random order.
func Test() error { return sh.RunV("go", "test", "-race", "-shuffle=on", "./...") }

// Integration runs the tests that need Docker, a VM, or minutes; archtest knows which
// packages have such tests, and that theirs are called TestReal.
func Integration(ctx context.Context) error {
	mg.CtxDeps(ctx, Setup)
	test := []string{"test", "-tags=integration", "-count=1", "-timeout=20m", "-p=1"}
	beside := append(slices.Clone(test), "-run=^TestReal", // the others there are mage test's
		"./internal/ca", "./internal/gitgate", "./internal/imagebuild/...", "./internal/imagepack", "./internal/lite/cli", "./pkg/bundle")
	return errors.Join(sh.RunV("go", beside...), sh.RunV("go", append(test, "./tests/...")...))
}

// Bench measures, and prints one table of ratios. With SMOKE=1 it runs everything but the
// longest once: its times say nothing, but it has not rotted.
func Bench(ctx context.Context) error {
	mg.CtxDeps(ctx, Setup)
	args, env := []string{"test", "-tags=integration", "-run=^$", "-bench=.", "-benchtime=1x", "-timeout=40m"}, map[string]string{}
	if os.Getenv("SMOKE") == "1" {
		args, env["BOTTLE_BENCH_RUNS"] = append(args, "-skip=BigImage|ColdImage|Body|Peer"), "1"
	}
	return sh.RunWithV(env, "go", append(args, "./tests/bench")...)
}

// Fuzz runs every fuzz target for $FUZZTIME, 60s by default, one after the other.
func Fuzz(ctx context.Context) error {
	each, err := fuzzing.ParseTime(os.Getenv("FUZZTIME"))
	if err != nil {
		return err
	}
	return fuzzing.Run(ctx, fuzzing.Config{Dir: ".", Time: each, Environ: os.Environ(), Out: os.Stdout})
}

// Rules takes the security rules away one by one and shows which test notices; $ONLY names
// some of them, such as 4,18.2.
func Rules() error { return sh.RunV("go", "run", "./tests/rules", "-only", os.Getenv("ONLY")) }

// Lint checks formatting, the rules of the house, that there is no dead code, that all of it
// would compile for macOS, and the workflows.
func Lint() error {
	if err := sh.RunV("go", "tool", "-modfile=tools/go.mod", "golangci-lint", "run", "./..."); err != nil {
		return err
	}
	dead, err := sh.Output("go", "tool", "-modfile=tools/go.mod", "deadcode", "-test", "-tags=integration", "./...")
	if err == nil && dead != "" {
		err = mg.Fatalf(1, "nothing calls:\n%s", dead)
	}
	if err != nil {
		return err
	}
	if err := sh.RunV("go", "test", "-count=1", "-run=^TestDarwin", "./internal/archtest"); err != nil {
		return err
	}
	workflows, err := filepath.Glob(".git*/workflows/*.yml")
	if err != nil {
		return err
	}
	lint := []string{"tool", "-modfile=tools/actionlint/go.mod", "actionlint", "-shellcheck=", "-pyflakes="}
	return sh.RunV("go", append(lint, workflows...)...)
}

// Clean removes the caches.
func Clean(ctx context.Context) error { return bottle(ctx, "clean") }

// Release makes what a release consists of in dist/; without a tag at HEAD, a snapshot. It
// publishes nothing: see docs/release.md. The first time takes minutes.
func Release() error {
	tag, err := sh.Output("git", "tag", "--points-at", "HEAD")
	if err != nil {
		return err
	}
	args := []string{"tool", "-modfile=tools/goreleaser/go.mod", "goreleaser", "release", "--clean", "--skip=publish,announce"}
	if tag == "" {
		args = append(args, "--snapshot")
	}
	return sh.RunV("go", args...)
}

// bottle runs a command line of the bottle program in this process, with this
// repository's own manifest.
func bottle(ctx context.Context, args ...string) error {
	streams := cli.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if code := cli.Run(ctx, streams, app.FromCheckout(), args); code != 0 {
		return mg.Fatalf(code, "bottle %s ended with exit code %d", args[0], code)
	}
	return nil
}

// Update looks for newer versions of what the images are made of, and writes bottle.lock;
// PART names one part of it: base, npm, pipelock or tools.
func Update(ctx context.Context) error { return bottle(ctx, optional("update", os.Getenv("PART"))...) }

// optional is a command line with an argument that may be missing.
func optional(verb, arg string) []string {
	if arg == "" {
		return []string{verb}
	}
	return []string{verb, arg}
}

// Aliases are what a person may type where Go's names differ; mage reads it.
var Aliases = map[string]any{"verify-build": VerifyBuild} //nolint:gochecknoglobals // mage looks for a variable

// VerifyBuild builds programs, base and images again and compares them with what the cache
// has; KEEP=1 takes the base and what Go has compiled as they are, which is much faster.
func VerifyBuild(ctx context.Context) error {
	args := []string{"images", "--verify"}
	if os.Getenv("KEEP") != "" {
		args = append(args, "--keep-base", "--keep-go-cache")
	}
	return bottle(ctx, args...)
}
