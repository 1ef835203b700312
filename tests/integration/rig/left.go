//go:build integration

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/moby/client"

	"bottle.internal/internal/execx"
	"bottle.internal/pkg/bundle"
)

// Engine connects to the container engine.
func Engine(ctx context.Context) (*client.Client, error) { return bundle.Connect(ctx, "") }

// Left lists everything that bottles whose identity begins with prefix have at the
// moment: containers, networks, machines, processes, state and sockets.
func (r *Rig) Left(ctx context.Context, engine *client.Client, prefix string) ([]string, error) {
	items, err := inEngine(ctx, engine, prefix)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, item := range items {
		found = append(found, item.String())
	}
	for kind, pattern := range map[string]string{
		"state":   filepath.Join(r.StateDir(), prefix+"*"),
		"machine": filepath.Join(r.Data, "smolvm-lite", "machines", "bottle-"+prefix+"*"),
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			found = append(found, kind+" "+path)
		}
	}
	for pid, line := range CommandLines() {
		if strings.Contains(line, "bottle-"+prefix) {
			found = append(found, fmt.Sprintf("process %d %.200s", pid, line))
		}
	}
	slices.Sort(found)
	return found, nil
}

// inEngine are the containers and networks; a volume stays as long as its bottle can be resumed.
func inEngine(ctx context.Context, engine *client.Client, prefix string) ([]Item, error) {
	found, err := Labelled(ctx, engine, bundle.LabelIdentity)
	return slices.DeleteFunc(found, func(item Item) bool {
		return item.Kind == "volume" || !strings.HasPrefix(item.Labels[bundle.LabelIdentity], prefix)
	}), err
}

// CommandLines are the arguments of every process that can be seen, by pid. It is empty
// where there is no /proc.
func CommandLines() map[int]string {
	lines := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return lines
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")); err == nil && len(line) > 0 {
			lines[pid] = strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
		}
	}
	return lines
}

// Reap removes what Left finds, and bottle processes of an earlier run that still live.
// It is for what a crashed test left; a test itself leaves nothing.
func (r *Rig) Reap(ctx context.Context, engine *client.Client, prefix string) error {
	var problems []error
	for pid, line := range CommandLines() {
		if strings.HasPrefix(line, "/tmp/bt-") && (strings.Contains(line, "/bottle start "+prefix) || strings.HasSuffix(line, "/bottle own")) {
			problems = append(problems, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	problems = append(problems, r.reapMachines(ctx, prefix))
	left, err := inEngine(ctx, engine, prefix)
	problems = append(problems, err, remove(ctx, engine, left))
	return errors.Join(problems...)
}

func (r *Rig) reapMachines(ctx context.Context, prefix string) error {
	listed, err := r.VM(ctx, "machine", "ls", "--json")
	if err != nil {
		return err
	}
	var machines []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(listed.Stdout), &machines); err != nil {
		return fmt.Errorf("reading the list of machines: %w", err)
	}
	var problems []error
	for _, machine := range machines {
		if strings.HasPrefix(machine.Name, "bottle-"+prefix) {
			_, err := r.VM(ctx, "machine", "delete", "--name", machine.Name, "--force")
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// VM runs the VM tool itself.
func (r *Rig) VM(ctx context.Context, args ...string) (Result, error) {
	return RunProgram(ctx, execx.Cmd{Path: r.VMTool, Args: args, Env: r.VMEnv, Dir: r.Dir})
}
