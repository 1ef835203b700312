//go:build integration

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"bottle.internal/pkg/bundle"
)

// UseTestcontainers is for TestMain. Their own reaper would have to be pulled: ours goes by
// label. Their progress is dropped; failures come as errors.
func UseTestcontainers() {
	_ = os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	tclog.SetDefault(quiet{})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Lock keeps two runs on one machine from reaping each other.
func Lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// ProbeProgram is the package of the static program that tests bring into guests and
// containers.
const ProbeProgram = "./tests/integration/testdata/probe"

// Beside runs the probe program, which is at path, in a container until it says "ready".
// The changes say as what, in which network, and with which labels.
func (r *Rig) Beside(ctx context.Context, path string, changes ...testcontainers.ContainerCustomizer) (*testcontainers.DockerContainer, error) {
	dir, err := os.MkdirTemp(r.Dir, "image-")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dockerfile := "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\n"
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := errors.Join(root.WriteFile("probe", program, 0o755), root.WriteFile("Dockerfile", []byte(dockerfile), 0o600)); err != nil {
		return nil, err
	}
	return testcontainers.Run(ctx, "", append([]testcontainers.ContainerCustomizer{
		testcontainers.WithDockerfile(testcontainers.FromDockerfile{Context: dir, Repo: "bottle-it-probe", Tag: "run"}),
		testcontainers.WithWaitStrategy(wait.ForLog("ready").WithStartupTimeout(time.Minute)),
	}, changes...)...)
}

// InContainer runs the probe program in a container of [Rig.Beside] and returns its lines.
func InContainer(ctx context.Context, container *testcontainers.DockerContainer, args ...string) (string, error) {
	code, out, err := container.Exec(ctx, append([]string{"/probe"}, args...), tcexec.Multiplexed())
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, said)
	}
	if err != nil {
		return "", fmt.Errorf("probe %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(said)), nil
}

// DialFromBundle proves that targets are alive for the one who must refuse them.
func DialFromBundle(ctx context.Context, engine *client.Client, identity string, targets ...string) error {
	created, err := engine.ExecCreate(ctx, bundle.KindBundle.Name(identity), client.ExecCreateOptions{
		AttachStdout: true, TTY: true, Cmd: append([]string{bundle.Program, "dial"}, targets...),
	})
	if err != nil {
		return err
	}
	attached, err := engine.ExecAttach(ctx, created.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		return err
	}
	defer attached.Close()
	said, err := io.ReadAll(attached.Reader)
	if err != nil {
		return err
	}
	if strings.Count("\n"+string(said), "\nok ") != len(targets) {
		return fmt.Errorf("%s from the bundle: %q", strings.Join(targets, ", "), said)
	}
	return nil
}
