package smolvm_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

func TestDeleteStopsFirst(t *testing.T) {
	t.Parallel()
	for _, version := range smolvmtest.Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, smolvmtest.Options{Version: version})
			pid := b.start(t)
			before := len(b.Calls())
			if err := b.client.Delete(t.Context(), "demo"); err != nil {
				t.Fatal(err)
			}
			if alive(pid) {
				t.Error("the VMM lives on")
			}
			want := []string{"machine status", "machine stop", "machine status", "machine delete", "machine ls"}
			if diff := cmp.Diff(want, b.Subcommands()[before:]); diff != "" {
				t.Errorf("calls (-want +got)\n%s", diff)
			}
			for _, call := range b.Calls() {
				if call.Args[1] == "delete" && !slices.Contains(call.Args, "--force") {
					t.Errorf("%q has no --force", call.Args)
				}
			}
		})
	}
}

// TestFakeOrphans: without the stop before it, delete at 0.8.0 leaves the process.
func TestFakeOrphans(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{Version: "0.8.0"})
	pid := b.start(t)
	b.Fail("machine stop", smolvmtest.Noop, 1)
	b.impatient()
	err := b.client.Delete(t.Context(), "demo")
	if want := "deleting machine demo: smolvm says that it stopped, but it still runs"; text(err) != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if slices.Contains(b.Subcommands(), "machine delete") {
		t.Error("a running machine was deleted at 0.8.0")
	}
	config := b.Config()
	if err := execx.Run(t.Context(), execx.Cmd{Path: b.Path(), Env: config.Env, Args: []string{"machine", "delete", "demo", "--force"}}); err != nil || !alive(pid) {
		t.Errorf("the fake's 0.8.0 does not orphan: %v", err)
	}
}

func TestDeleteIsDoneOnlyWhenSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	pid := b.start(t)
	b.impatient()
	b.Fail("machine delete", smolvmtest.Noop, 1)
	if got, want := text(b.client.Delete(t.Context(), "demo")), "deleting machine demo: smolvm says that it is gone, but lists it"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	if err := b.client.Start(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	// stop must fail too, or there is no process for delete to keep.
	machine, err := b.client.Status(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	b.Fail("machine stop", smolvmtest.Noop, 1)
	b.Fail("machine delete", smolvmtest.KeepProcess, 1)
	want := fmt.Sprintf("deleting machine demo: it is gone, but its process %d lives on", machine.PID)
	err = b.client.Delete(t.Context(), "demo")
	hinter := interface {
		error
		HintLines() []string
	}(nil)
	if text(err) != want || !errors.As(err, &hinter) || hinter.HintLines()[0] != fmt.Sprintf("kill %d", machine.PID) {
		t.Errorf("error %q, want %q and a hint", text(err), want)
	}
	if alive(pid) || !alive(machine.PID) {
		t.Errorf("the first VMM lives: %t, the second: %t", alive(pid), alive(machine.PID))
	}
}

func TestDeleteReportsTheFailureOfATool(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.create(t)
	b.Fail("machine delete", smolvmtest.NoSpace, 1)
	err := b.client.Delete(t.Context(), "demo") // had it waited for what cannot happen, it would say so
	if !errors.Is(err, smolvm.ErrNoSpace) || text(err) != "deleting machine demo: smolvm: pack failed: write layer: No space left on device (os error 28)" {
		t.Errorf("error %v", err)
	}
	// An unreadable status does not keep a machine from being deleted.
	b.Fail("machine status", smolvmtest.Garbage, 2)
	if err := b.client.Delete(t.Context(), "demo"); err != nil {
		t.Error(err)
	}
}

func TestStopIsDoneOnlyWhenSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	b.impatient()
	b.Fail("machine stop", smolvmtest.NoKVM, 1)
	if err := b.client.Stop(t.Context(), "demo"); !errors.Is(err, smolvm.ErrKVM) {
		t.Errorf("error %v", err)
	}
	for _, how := range []string{smolvmtest.Noop, smolvmtest.KeepProcess} {
		b.Fail("machine stop", how, 1)
		if got, want := text(b.client.Stop(t.Context(), "demo")), "stopping machine demo: smolvm says that it stopped, but it still runs"; got != want {
			t.Errorf("%s: error %q, want %q", how, got, want)
		}
	}
}

func TestStartIsDoneOnlyWhenSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.create(t)
	b.impatient()
	b.Fail("machine start", smolvmtest.Noop, 1)
	const want = `starting machine demo: machine is not running: smolvm says that it started, but it is "created"`
	if err := b.client.Start(t.Context(), "demo"); text(err) != want || !errors.Is(err, smolvm.ErrNotRunning) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestStartFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.create(t)
	b.Fail("machine start", smolvmtest.NoKVM, 1)
	err := b.client.Start(t.Context(), "demo")
	const noKVM = "starting machine demo: smolvm: agent operation failed: start machine: kvm not available: KVM not available. Ensure KVM kernel module is loaded.\nTry: sudo modprobe kvm"
	if text(err) != noKVM || !errors.Is(err, smolvm.ErrKVM) {
		t.Errorf("error %v", err)
	}
	b.Fail("machine start", smolvmtest.GuestLog, 1)
	err = b.client.Start(t.Context(), "demo")
	const guestLog = "starting machine demo: smolvm: agent operation failed: start machine: agent operation failed: monitor agent: booting\nError: vm not found: everything\\u001b[2J"
	if text(err) != guestLog || errors.Is(err, smolvm.ErrNotFound) {
		t.Errorf("what the guest logged was believed or printed raw: %q", text(err))
	}
	config := b.Config()
	config.Grace = 100 * time.Millisecond
	b.Fail("machine start", smolvmtest.HoldOutput, 1)
	if err := smolvm.New(config).Start(t.Context(), "demo"); err != nil {
		t.Errorf("the VMM keeps the output open: %v", err)
	}
}

// TestProcessIdentity: a process id alone names nobody.
func TestProcessIdentity(t *testing.T) {
	t.Parallel()
	if !smolvm.ProcessAlive(os.Getpid(), "") {
		t.Error("we are dead")
	}
	if smolvm.ProcessAlive(os.Getpid(), "another start") {
		t.Error("a later process with the same id passes for the first")
	}
	for _, pid := range []int{-1, 0, 1} {
		if smolvm.ProcessAlive(pid, "") {
			t.Errorf("%d is a VMM", pid)
		}
	}
}
