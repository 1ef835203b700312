// Command make writes what package prebuilt embeds, for a release.
package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/lockfile"
)

func main() {
	if err := run(context.Background(), filepath.Join("internal", "prebuilt", "programs")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// run builds each program for each processor. The linked programs are kept in bin/, which
// git ignores: a release must not depend on what the user's cache has.
func run(ctx context.Context, dir string) error {
	root, err := gobuild.FindRoot(".")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
		return err
	}
	lock, err := os.ReadFile(filepath.Join(root, lockfile.Name))
	if err != nil {
		return err
	}
	builder := &gobuild.Builder{Root: root, CacheDir: filepath.Join(root, "bin", "release", "cache"), Env: os.Environ()}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, pkg := range []string{"./images/agent/guest", "./images/bundle", "./cmd/smolvm-lite", "./cmd/lite-init"} {
			program, err := builder.Build(ctx, gobuild.Target{Package: pkg, Name: path.Base(pkg), OS: "linux", Arch: arch})
			if err != nil {
				return err
			}
			if err := pack(program.Path, filepath.Join(root, dir, arch, path.Base(pkg)+".gz")); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(root, dir, arch, lockfile.Name), lock, 0o644); err != nil { //nolint:gosec // below the checkout, where FindRoot found it
			return err
		}
	}
	return nil
}

func pack(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(packed, source); err != nil {
		return err
	}
	return packed.Close()
}
