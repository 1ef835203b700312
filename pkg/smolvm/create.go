package smolvm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const maxSockets = 64

// CreateOptions say what machine to make. Zero sizes mean the tool's or the artifact's.
//
// With From, `--cpus 4` and `--mem 8192` are indistinguishable from "not given" for the
// tool: the artifact's sizes apply then. Create notices and fails; to get exactly those
// sizes, bake them into the artifact.
type CreateOptions struct {
	Name       string
	From       string // an artifact; it must stay where it is while the machine lives
	Image      string // instead of From: an archive or a reference
	CPUs       int
	MemMiB     int
	StorageGiB int
	OverlayGiB int
	Sockets    []Socket
	Labels     map[string]string
	// Env is visible to everybody on this host while the call runs (it is on argv), and
	// does not reach programs run by Exec. No secrets.
	Env map[string]string
}

// Socket is a unix socket of the host that the guest sees at a path of its own.
type Socket struct{ Host, Guest string }

func createArgs(tool Tool, o CreateOptions) (invocation, error) {
	args, problems := []string{"machine", "create"}, []error{checkName(o.Name)}
	if tool.Version.positionalName() {
		args = append(args, o.Name)
	} else {
		args = append(args, "--name", o.Name)
	}
	source, err := sourceArgs(tool, o)
	problems = append(problems, err,
		checkRange("cpus", o.CPUs, 1, 255), checkRange("memory", o.MemMiB, 64, 1<<22),
		checkRange("storage", o.StorageGiB, 1, 1<<14), checkRange("overlay", o.OverlayGiB, 1, 1<<14))
	args = appendSize(append(args, source...), o.CPUs, o.MemMiB)
	if o.StorageGiB != 0 {
		args = append(args, "--storage", strconv.Itoa(o.StorageGiB))
	}
	if o.OverlayGiB != 0 {
		args = append(args, "--overlay", strconv.Itoa(o.OverlayGiB))
	}
	for _, build := range []func(Tool, CreateOptions) ([]string, error){socketArgs, labelArgs, envArgs} {
		more, err := build(tool, o)
		args, problems = append(args, more...), append(problems, err)
	}
	return invocation{args: args}, errors.Join(problems...)
}

func sourceArgs(tool Tool, o CreateOptions) ([]string, error) {
	switch {
	case (o.From == "") == (o.Image == ""):
		return nil, fmt.Errorf("%w: exactly one of an artifact and an image is needed", ErrInvalid)
	case o.Image != "":
		if strings.ContainsAny(o.Image[:1], "/.") {
			if err := tool.require(gate{"machine create --image ARCHIVE", Version{1, 1, 0}, ""}); err != nil {
				return nil, err
			}
		}
		return []string{"--image", o.Image}, checkValue("image", o.Image)
	case tool.Version.needsNetworkFrom():
		return nil, tool.require(gate{"machine create --from", Version{1, 7, 5}, reasonNeedsNet})
	}
	return []string{"--from", o.From}, checkValue("artifact", o.From)
}

func socketArgs(tool Tool, o CreateOptions) (args []string, err error) {
	if len(o.Sockets) == 0 {
		return nil, nil
	}
	if err := tool.require(gate{"machine create --mount-socket", Version{1, 7, 0}, reasonNoFromSocks}); err != nil {
		return nil, err
	}
	if len(o.Sockets) > maxSockets {
		err = fmt.Errorf("%w: %d sockets, at most %d are allowed", ErrInvalid, len(o.Sockets), maxSockets)
	}
	for _, socket := range o.Sockets {
		err = errors.Join(err, checkSocket(socket))
		args = append(args, "--mount-socket", socket.Host+":"+socket.Guest)
	}
	return args, err
}

func checkSocket(socket Socket) error {
	for _, side := range []string{socket.Host, socket.Guest} {
		if strings.ContainsAny(side, ":;|") {
			return invalid("socket", side, "it must not contain : ; or |")
		}
	}
	if !filepath.IsAbs(socket.Host) {
		return invalid("socket", socket.Host, "it must be an absolute path")
	}
	return errors.Join(checkBytes("socket", socket.Host), checkGuestPath("guest socket", socket.Guest))
}

func labelArgs(tool Tool, o CreateOptions) (args []string, err error) {
	if len(o.Labels) == 0 {
		return nil, nil
	}
	if err := tool.require(gate{"machine create --label", Version{1, 8, 0}, ""}); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
		if !labelPattern.MatchString(key) {
			err = errors.Join(err, invalid("label", key, "only A-Z, a-z, 0-9, . _ / and - are allowed"))
		}
		err = errors.Join(err, checkBytes("label", o.Labels[key]))
		args = append(args, "--label", key+"="+o.Labels[key])
	}
	return args, err
}

// envArgs never sends a bare KEY: from 0.8.1 on that forwards the host's value.
func envArgs(_ Tool, o CreateOptions) (args []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(o.Env)) {
		if !envKeyPattern.MatchString(key) {
			err = errors.Join(err, invalid("variable", key, "only A-Z, a-z, 0-9 and _ are allowed"))
		}
		err = errors.Join(err, checkBytes("variable", o.Env[key]))
		args = append(args, "--env", key+"="+o.Env[key])
	}
	return args, err
}

// Create makes a machine without a network, not running yet. A name that is taken is
// [ErrExists]. If the machine is not what was asked for, it is deleted again.
func (c *Client) Create(ctx context.Context, o CreateOptions) error {
	call, err := createArgs(c.config.Tool, o)
	if err == nil {
		err = c.run(ctx, call)
	}
	if err != nil {
		return fmt.Errorf("creating machine %s: %w", o.Name, err)
	}
	if err := c.checkCreated(ctx, o); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Patience)
		defer cancel()
		return fmt.Errorf("creating machine %s: %w", o.Name, errors.Join(err, c.Delete(cleanup, o.Name)))
	}
	return nil
}

func (c *Client) checkCreated(ctx context.Context, o CreateOptions) error {
	machine, err := c.Status(ctx, o.Name)
	switch {
	case err != nil:
		return err
	case machine.Network:
		return fmt.Errorf("it would have a network, and ours have none: %s was packed with one", o.From+o.Image)
	case o.CPUs != 0 && machine.CPUs != o.CPUs:
		return fmt.Errorf("it has %d cpus, not %d: to get exactly that number, pack the artifact with it", machine.CPUs, o.CPUs)
	case o.MemMiB != 0 && machine.MemMiB != o.MemMiB:
		return fmt.Errorf("it has %d MiB of memory, not %d: to get exactly that much, pack the artifact with it", machine.MemMiB, o.MemMiB)
	}
	return nil
}
