package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// fetchKernel downloads the newest cloud kernel's packages and unpacks them into the
// kernel directory. The directory appears whole or not at all.
func (o Options) fetchKernel(ctx context.Context, p Platform) (err error) {
	packages, err := o.kernelPackages(ctx, p)
	if err != nil {
		return err
	}
	parent := filepath.Dir(o.KernelDir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, ".kernel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	download := Command{Args: append([]string{"apt-get", "download"}, packages...), Dir: temp, Output: o.Log}
	if _, err := o.System.Run(ctx, download); err != nil {
		return fmt.Errorf("downloading %s: %w", strings.Join(packages, " and "), err)
	}
	root := filepath.Join(temp, "root")
	archives, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(archives) != len(packages) {
		return fmt.Errorf("downloading %s: apt-get left %d files, want %d", strings.Join(packages, " and "), len(archives), len(packages))
	}
	for _, archive := range archives {
		if _, err := o.System.Run(ctx, Command{Args: []string{"dpkg-deb", "-x", archive, root}, Output: o.Log}); err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(archive), err)
		}
	}
	return putKernel(root, filepath.Join(temp, "kernel"), o.KernelDir)
}

var kernelPackage = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-[0-9][a-z0-9.+~-]*)$`)

// kernelPackages resolves the package that only names the newest kernel.
func (o Options) kernelPackages(ctx context.Context, p Platform) ([]string, error) {
	meta := kernelMeta(p)
	output, err := o.System.Run(ctx, Command{Args: []string{"apt-cache", "depends", meta}})
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", meta, err)
	}
	match := kernelPackage.FindStringSubmatch(string(output))
	if match == nil {
		return nil, fmt.Errorf("looking for %s: apt knows no kernel behind it; try apt-get update", meta)
	}
	packages := []string{match[1]}
	if p.Family == Ubuntu { // there the modules are a package of their own
		packages = append(packages, "linux-modules-"+strings.TrimPrefix(match[1], "linux-image-"))
	}
	return packages, nil
}

// putKernel takes what a guest needs out of the unpacked root, checks it, and puts it
// in place of what was there.
func putKernel(root, staged, target string) error {
	if err := os.MkdirAll(filepath.Join(staged, "lib"), 0o700); err != nil {
		return err
	}
	modules := filepath.Join(root, "lib", "modules")
	if _, err := os.Stat(modules); errors.Is(err, fs.ErrNotExist) {
		modules = filepath.Join(root, "usr", "lib", "modules") // newer releases
	}
	for from, to := range map[string]string{
		filepath.Join(root, "boot"): filepath.Join(staged, "boot"),
		modules:                     filepath.Join(staged, "lib", "modules"),
	} {
		if err := os.Rename(from, to); err != nil {
			return fmt.Errorf("unpacking the kernel: %w", err)
		}
	}
	if _, err := kernelRelease(staged); err != nil {
		return fmt.Errorf("unpacking the kernel: %w", err)
	}
	// The old one moves into the temporary directory, which is removed afterwards.
	err := os.Rename(target, filepath.Join(filepath.Dir(staged), "old"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(staged, target)
}
