//go:build mage

// The targets of bottle. Each is a door to internal/cli, where the logic is; so `mage
// run demo` and `bottle start demo` cannot drift apart.
package main

import (
	"context"
	"os"

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
// packages have such tests.
func Integration(ctx context.Context) error {
	mg.CtxDeps(ctx, Setup)
	return sh.RunV("go", "test", "-tags=integration", "-count=1", "-timeout=20m", "-p=1",
		"./internal/ca", "./internal/gitgate", "./internal/imagebuild/...", "./internal/imagepack", "./internal/lite/cli",
		"./pkg/bundle", "./tests/...")
}

// Bench measures, and prints one table of ratios.
func Bench(ctx context.Context) error {
	mg.CtxDeps(ctx, Setup)
	return sh.RunV("go", "test", "-tags=integration", "-run=^$", "-bench=.", "-benchtime=1x", "-timeout=30m", "./tests/bench")
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

// Lint checks formatting and the rules of the house, and that all of it would compile for macOS.
func Lint() error {
	if err := sh.RunV("go", "tool", "-modfile=tools/go.mod", "golangci-lint", "run", "./..."); err != nil {
		return err
	}
	return sh.RunV("go", "test", "-count=1", "-run=^TestDarwin", "./internal/archtest")
}

// Clean removes the caches.
func Clean(ctx context.Context) error { return bottle(ctx, "clean") }

// bottle runs a command line of the bottle program in this process, with this
// repository's own manifest.
func bottle(ctx context.Context, args ...string) error {
	streams := cli.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if code := cli.Run(ctx, streams, app.FromCheckout(), args); code != 0 {
		return mg.Fatalf(code, "bottle %s ended with exit code %d", args[0], code)
	}
	return nil
}
