//go:build linux

package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"bottle.internal/internal/lite/pack"
)

func (a *App) packCreate(ctx context.Context, args []string) error {
	f := a.flags("pack create", packCreateHelp)
	cpus, mem := cpuValue(defaultCPUs), sizeValue{n: defaultMem, min: minMem}
	image := f.StringP("image", "I", "", "")
	output := f.StringP("output", "o", "", "")
	platform := f.String("oci-platform", "linux/"+goarch, "")
	f.Var(&cpus, "cpus", "")
	f.Var(&mem, "mem", "")
	entrypoint := f.String("entrypoint", "", "")
	staging := f.String("staging-dir", "", "")
	if err := f.parse(args, 0); err != nil {
		return err
	}
	switch {
	case *output == "":
		return &usageError{"the following required arguments were not provided:\n  --output <OUTPUT>"}
	case *image == "":
		return &usageError{"the following required arguments were not provided:\n  --image <IMAGE>"}
	case strings.HasSuffix(*output, pack.Extension):
		return fmt.Errorf("--output must not end in %s: it is added to the name", pack.Extension)
	}
	stagingDir, err := a.stagingDir(*staging)
	if err != nil {
		return err
	}
	options := pack.Options{
		Ref: *image, Output: *output, Platform: *platform, CPUs: int(cpus), MemMiB: mem.n,
		StagingDir: stagingDir, Version: version,
	}
	if *entrypoint != "" {
		options.Entrypoint = []string{*entrypoint}
	}
	if _, err := fmt.Fprintf(a.Stderr, "Packing %s...\n", *image); err != nil {
		return err
	}
	manifest, err := pack.Create(ctx, options)
	if err != nil {
		return err
	}
	return a.print(fmt.Sprintf("Packed %s\n  Digest: %s\n  Image size: %d MiB\n  Output: %s%s\n",
		*image, manifest.Digest, manifest.ImageSize>>20, *output, pack.Extension))
}

// stagingDir is smolvm's order: flag, environment, cache.
func (a *App) stagingDir(flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = a.Getenv("SMOLVM_PACK_STAGING")
	}
	if dir == "" {
		p, err := a.paths()
		if err != nil {
			return "", err
		}
		dir = p.cache
	}
	return dir, os.MkdirAll(dir, 0o700)
}
