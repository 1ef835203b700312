package smolvmtest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"bottle.internal/pkg/smolvm"
)

// ContractOptions say what is under test.
type ContractOptions struct {
	Client *smolvm.Client
	// Artifact is the path of a .smolmachine to boot. Its image has sh, cat and true.
	Artifact string
	// Name is the machine to use, and the beginning of no other's. Default: "contract".
	Name string
}

// contract is one run of the suite: one machine goes through its life.
type contract struct {
	client   *smolvm.Client
	artifact string
	name     string
}

// Contract checks what this project needs of a VM tool, through [smolvm.Client]. The
// subtests depend on each other and run in order. The same assertions keep the fake,
// the stand-in and the real tool alike.
func Contract(t *testing.T, options ContractOptions) {
	t.Helper()
	if options.Name == "" {
		options.Name = "contract"
	}
	c := &contract{client: options.Client, artifact: options.Artifact, name: options.Name}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.client.Delete(ctx, c.name); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	// && ends the suite at the first step that fails.
	_ = t.Run("unknown machine", c.unknown) &&
		t.Run("create", c.create) &&
		t.Run("created but not running", c.notRunning) &&
		t.Run("start", c.start) &&
		t.Run("exit codes", c.exitCodes) &&
		t.Run("guest text decides nothing", c.guestText) &&
		t.Run("streams", c.streams) &&
		t.Run("large stdin", c.largeStdin) &&
		t.Run("large output", c.largeOutput) &&
		t.Run("open stdin", c.openStdin) &&
		t.Run("cancelled exec", c.cancelledExec) &&
		t.Run("copy", c.copy) &&
		t.Run("copy failures", c.copyFailures) &&
		t.Run("stop", c.stop) &&
		t.Run("start again", c.startAgain) &&
		t.Run("killed VMM", c.killedVMM) &&
		t.Run("delete", c.delete) &&
		t.Run("delete a running machine", c.deleteRunning)
}

func (c *contract) unknown(t *testing.T) {
	ctx := t.Context()
	_, err := c.client.Status(ctx, c.name)
	wantIs(t, "Status", err, smolvm.ErrNotFound)
	wantIs(t, "Start", c.client.Start(ctx, c.name), smolvm.ErrNotFound)
	_, err = c.client.Exec(ctx, smolvm.ExecOptions{Name: c.name, Command: []string{"true"}})
	wantIs(t, "Exec", err, smolvm.ErrNotFound)
	wantIs(t, "WaitReady", c.client.WaitReady(ctx, c.name), smolvm.ErrNotFound)
	wantIs(t, "Stop", c.client.Stop(ctx, c.name), nil)
	wantIs(t, "Delete", c.client.Delete(ctx, c.name), nil)
	if c.listed(t) {
		t.Error("ls lists a machine that was never created")
	}
}

func (c *contract) options() smolvm.CreateOptions {
	return smolvm.CreateOptions{Name: c.name, From: c.artifact, CPUs: 2, MemMiB: 768}
}

func (c *contract) create(t *testing.T) {
	ctx := t.Context()
	missing := c.options()
	missing.From += ".missing"
	if err := c.client.Create(ctx, missing); err == nil {
		t.Error("a machine was created from an artifact that does not exist")
	}
	if c.listed(t) {
		t.Error("ls lists a machine that could not be created")
	}
	wantIs(t, "Create", c.client.Create(ctx, c.options()), nil)
	machine, err := c.client.Status(ctx, c.name)
	wantIs(t, "Status", err, nil)
	if machine.State != smolvm.StateCreated || machine.PID != 0 || machine.Network || machine.CPUs != 2 || machine.MemMiB != 768 {
		t.Errorf("created: %+v", machine)
	}
	if !c.listed(t) {
		t.Error("ls lacks the machine")
	}
	wantIs(t, "Create again", c.client.Create(ctx, c.options()), smolvm.ErrExists)
	if !c.listed(t) {
		t.Error("a refused duplicate deleted the machine that was there")
	}
}

func (c *contract) notRunning(t *testing.T) {
	ctx := t.Context()
	_, err := c.client.Exec(ctx, smolvm.ExecOptions{Name: c.name, Command: []string{"true"}})
	wantIs(t, "Exec", err, smolvm.ErrNotRunning)
	wantIs(t, "WaitReady", c.client.WaitReady(ctx, c.name), smolvm.ErrNotRunning)
	wantIs(t, "Stop", c.client.Stop(ctx, c.name), nil)
	machine, err := c.client.Status(ctx, c.name)
	if err != nil || machine.State != smolvm.StateCreated {
		t.Errorf("after Stop: %+v, %v", machine, err)
	}
}

func (c *contract) start(t *testing.T) {
	first := c.boot(t)
	second := c.boot(t) // a running machine is left alone
	if first.PID != second.PID {
		t.Errorf("starting again changed the process: %d, then %d", first.PID, second.PID)
	}
	if !c.listed(t) {
		t.Error("ls lacks the running machine")
	}
	dir, err := c.client.DataDir(t.Context(), c.name)
	if err != nil || !filepath.IsAbs(dir) {
		t.Errorf("DataDir = %q, %v", dir, err)
	}
}

func (c *contract) boot(t *testing.T) smolvm.Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	wantIs(t, "Start", c.client.Start(ctx, c.name), nil)
	wantIs(t, "WaitReady", c.client.WaitReady(ctx, c.name), nil)
	machine, err := c.client.Status(ctx, c.name)
	if err != nil || !machine.Running() || !processExists(machine.PID) || machine.Network {
		t.Fatalf("after Start: %+v, %v", machine, err)
	}
	return machine
}

func (c *contract) stop(t *testing.T) {
	ctx := t.Context()
	before, err := c.client.Status(ctx, c.name)
	wantIs(t, "Status", err, nil)
	wantIs(t, "Stop", c.client.Stop(ctx, c.name), nil)
	after, err := c.client.Status(ctx, c.name)
	if err != nil || after.State != smolvm.StateStopped || after.PID != 0 || processExists(before.PID) {
		t.Errorf("after Stop: %+v, %v; its process %d exists: %t", after, err, before.PID, processExists(before.PID))
	}
	wantIs(t, "Stop again", c.client.Stop(ctx, c.name), nil)
	_, err = c.client.Exec(ctx, smolvm.ExecOptions{Name: c.name, Command: []string{"true"}})
	wantIs(t, "Exec", err, smolvm.ErrNotRunning)
}

func (c *contract) startAgain(t *testing.T) {
	c.boot(t)
	if got := c.execIn(t, "/", "cat", "workspace/kept"); got.out != "kept over a stop\n" {
		t.Errorf("a file written before the stop: %+v", got)
	}
}

func (c *contract) killedVMM(t *testing.T) {
	ctx := t.Context()
	machine, err := c.client.Status(ctx, c.name)
	wantIs(t, "Status", err, nil)
	if err := syscall.Kill(machine.PID, syscall.SIGKILL); err != nil {
		t.Fatalf("killing the VMM %d: %v", machine.PID, err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		now, err := c.client.Status(ctx, c.name)
		if err == nil && !now.Running() && now.PID == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("10 s after kill -9 of its VMM: %+v, %v", now, err)
		}
	}
	_, err = c.client.Exec(ctx, smolvm.ExecOptions{Name: c.name, Command: []string{"true"}})
	wantIs(t, "Exec", err, smolvm.ErrNotRunning)
	c.boot(t)
	if got := c.execIn(t, "/", "cat", "workspace/kept"); got.out != "kept over a stop\n" {
		t.Errorf("a file written long before the kill: %+v", got)
	}
}

func (c *contract) delete(t *testing.T) {
	ctx := t.Context()
	wantIs(t, "Stop", c.client.Stop(ctx, c.name), nil)
	wantIs(t, "Delete", c.client.Delete(ctx, c.name), nil)
	if c.listed(t) {
		t.Error("ls lists a deleted machine")
	}
	_, err := c.client.Status(ctx, c.name)
	wantIs(t, "Status", err, smolvm.ErrNotFound)
	wantIs(t, "Delete again", c.client.Delete(ctx, c.name), nil)
}

func (c *contract) deleteRunning(t *testing.T) {
	ctx := t.Context()
	wantIs(t, "Create", c.client.Create(ctx, c.options()), nil)
	machine := c.boot(t)
	if got := c.execIn(t, "/", "sh", "-c", "cat workspace/kept 2>/dev/null || echo fresh"); got.out != "fresh\n" {
		t.Errorf("a new machine of an old name has its files: %+v", got)
	}
	wantIs(t, "Delete", c.client.Delete(ctx, c.name), nil)
	if c.listed(t) || processExists(machine.PID) {
		t.Errorf("after Delete: listed %t, process %d exists %t", c.listed(t), machine.PID, processExists(machine.PID))
	}
}

func (c *contract) listed(t *testing.T) bool {
	t.Helper()
	machines, err := c.client.List(t.Context())
	wantIs(t, "List", err, nil)
	return slices.ContainsFunc(machines, func(m smolvm.Machine) bool { return m.Name == c.name })
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// processExists does not count zombies: their parent may never reap them.
func processExists(pid int) bool {
	if pid <= 1 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return (err == nil || errors.Is(err, syscall.EPERM)) && !zombie(pid)
}
