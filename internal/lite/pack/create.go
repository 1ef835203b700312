package pack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Options of Create.
type Options struct {
	Ref        string
	Output     string // writes Output and Output.smolmachine
	Platform   string // linux/ARCH
	CPUs       int
	MemMiB     int
	Entrypoint []string // replaces the image's
	StagingDir string
	Version    string // recorded as smolvm_version
}

// stub lies where smolvm writes an executable; ours only explains.
const stub = `#!/bin/sh
echo "this is a smolvm-lite artifact: run 'smolvm-lite machine create --from $0.smolmachine'" >&2
exit 1
`

// Create pulls an image from a registry on this machine and packs it. The artifact
// appears last, and whole or not at all.
func Create(ctx context.Context, o Options) (Manifest, error) {
	image, err := pull(ctx, o)
	if err != nil {
		return Manifest{}, fmt.Errorf("pulling %s: %w", o.Ref, err)
	}
	return Write(ctx, image, o)
}

// Write packs an image that is at hand.
func Write(ctx context.Context, image v1.Image, o Options) (Manifest, error) {
	manifest, err := describe(image, o)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading the config of %s: %w", o.Ref, err)
	}
	out, err := os.CreateTemp(filepath.Dir(o.Output), "."+filepath.Base(o.Output)+"-")
	if err != nil {
		return Manifest{}, err
	}
	defer func() {
		_ = out.Close()
		_ = os.Remove(out.Name()) // gone already if all went well
	}()
	size, err := writeImage(ctx, image, o.StagingDir, out)
	if err != nil {
		return Manifest{}, fmt.Errorf("packing %s: %w", o.Ref, err)
	}
	manifest.ImageSize = size
	if err := appendTrailer(out, size, manifest); err != nil {
		return Manifest{}, fmt.Errorf("packing %s: %w", o.Ref, err)
	}
	if err := errors.Join(out.Chmod(0o644), out.Close()); err != nil {
		return Manifest{}, fmt.Errorf("packing %s: %w", o.Ref, err)
	}
	if err := os.WriteFile(o.Output, []byte(stub), 0o755); err != nil {
		return Manifest{}, err
	}
	return manifest, os.Rename(out.Name(), o.Output+Extension)
}

// pull refuses every registry that is not on this machine: the stand-in downloads nothing.
func pull(ctx context.Context, o Options) (v1.Image, error) {
	platform, err := v1.ParsePlatform(o.Platform)
	if err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(o.Ref, name.Insecure)
	if err != nil {
		return nil, err
	}
	registry := ref.Context().RegistryStr()
	if !loopback(registry) {
		return nil, fmt.Errorf("smolvm-lite pulls only from a registry on this machine, not from %s\n"+
			"  push the image to one on 127.0.0.1 first", registry)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented
	transport.Proxy = nil
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(*platform), remote.WithTransport(transport))
	if err != nil {
		return nil, err
	}
	return image, nil
}

func loopback(registry string) bool {
	host := registry
	if h, _, err := net.SplitHostPort(registry); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// describe fills the manifest from the image's config.
func describe(image v1.Image, o Options) (Manifest, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return Manifest{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return Manifest{}, err
	}
	if got := config.OS + "/" + config.Architecture; got != o.Platform && config.Architecture != "" {
		return Manifest{}, fmt.Errorf("the image is for %s, not for %s", got, o.Platform)
	}
	m := Manifest{
		Mode: "container", Image: o.Ref, Digest: digest.String(), Platform: o.Platform,
		Entrypoint: config.Config.Entrypoint, Cmd: config.Config.Cmd, Env: config.Config.Env,
		Workdir: config.Config.WorkingDir, CPUs: o.CPUs, Mem: o.MemMiB, HostPlatform: o.Platform,
		Created: config.Created.UTC().Format(time.RFC3339), SmolvmVersion: o.Version, Assets: Assets{Format: format},
	}
	if len(o.Entrypoint) > 0 {
		m.Entrypoint = o.Entrypoint
	}
	return m, nil
}

// DescribeArchive reads the config of a 'docker save' archive.
func DescribeArchive(archive, platform string) (Manifest, error) {
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading image archive %s: %w", archive, err)
	}
	m, err := describe(image, Options{Ref: archive, Platform: platform})
	if err != nil {
		return Manifest{}, fmt.Errorf("reading image archive %s: %w", archive, err)
	}
	return m, nil
}

// FromArchive makes the disk of a 'docker save' archive as a new file at path out.
func FromArchive(ctx context.Context, archive, out string) error {
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return fmt.Errorf("reading image archive %s: %w", archive, err)
	}
	file, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	size, err := writeImage(ctx, image, filepath.Dir(out), file)
	if err == nil {
		err = file.Truncate(roundUp(size))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("unpacking image archive %s: %w", archive, err)
	}
	return nil
}
