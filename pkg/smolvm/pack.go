package smolvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"bottle.internal/internal/execx"
)

// ArtifactSuffix is what `pack create` adds to its output's name.
const ArtifactSuffix = ".smolmachine"

// PackOptions say what to pack. Platform, CPUs, MemMiB, StagingDir and Progress are
// optional.
type PackOptions struct {
	Image      string // a registry reference, best by digest
	Output     string // the artifact becomes Output + ArtifactSuffix; both names are overwritten
	Platform   string // "linux/arm64"; default: this machine's
	CPUs       int    // baked in as the machines' default: the only way to get exactly 4
	MemMiB     int    // the same, for exactly 8192
	StagingDir string // scratch space for the unpacked image
	Progress   io.Writer
}

func packArgs(tool Tool, o PackOptions) (invocation, error) {
	err := errors.Join(
		checkValue("image", o.Image), checkValue("output", o.Output),
		checkRange("cpus", o.CPUs, 1, 255), checkRange("memory", o.MemMiB, 64, 1<<22),
	)
	if strings.HasSuffix(o.Output, ArtifactSuffix) {
		err = errors.Join(err, invalid("output", o.Output, "without "+ArtifactSuffix+", which is added"))
	}
	args := []string{"pack", "create", "--image", o.Image, "--output", o.Output}
	if o.Platform != "" {
		err = errors.Join(err, checkValue("platform", o.Platform))
		args = append(args, "--oci-platform", o.Platform)
	}
	args = appendSize(args, o.CPUs, o.MemMiB)
	var env []string
	if o.StagingDir != "" {
		err = errors.Join(err, checkValue("staging directory", o.StagingDir))
		if tool.Version.before(1, 2, 0) {
			env = []string{"TMPDIR=" + o.StagingDir}
		} else {
			args = append(args, "--staging-dir", o.StagingDir)
		}
	}
	return invocation{args, env}, err
}

func appendSize(args []string, cpus, memMiB int) []string {
	if cpus != 0 {
		args = append(args, "--cpus", strconv.Itoa(cpus))
	}
	if memMiB != 0 {
		args = append(args, "--mem", strconv.Itoa(memMiB))
	}
	return args
}

// PackCreate makes Output+ArtifactSuffix from an image. It takes minutes: the caller's
// context is the only limit. After a failure neither output exists.
func (c *Client) PackCreate(ctx context.Context, o PackOptions) error {
	call, err := packArgs(c.config.Tool, o)
	if err != nil {
		return fmt.Errorf("packing %s: %w", o.Image, err)
	}
	removeOutputs(o.Output)
	if err := c.pack(ctx, call, o); err != nil {
		removeOutputs(o.Output)
		return fmt.Errorf("packing %s: %w", o.Image, err)
	}
	return nil
}

func (c *Client) pack(ctx context.Context, call invocation, o PackOptions) error {
	command := c.command(call)
	if o.Progress != nil {
		progress := &lockedWriter{to: o.Progress}
		command.Stdout, command.Stderr = progress, progress
	}
	if err := c.explain(execx.Run(ctx, command)); err != nil {
		return err
	}
	// Exit status 0 alone proves nothing: the artifact is what was asked for.
	info, err := os.Lstat(o.Output + ArtifactSuffix)
	if err != nil {
		return fmt.Errorf("%s reported success without an artifact: %w", c.config.Tool.Name, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return fmt.Errorf("%s reported success, but %s is empty or no file", c.config.Tool.Name, o.Output+ArtifactSuffix)
	}
	return nil
}

func removeOutputs(output string) {
	_ = os.Remove(output)
	_ = os.Remove(output + ArtifactSuffix)
}

// lockedWriter joins two streams of a child into one.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}
