// Package smolvmtest has a fake smolvm and the contract that the fake, the stand-in and
// the real tool keep.
//
// The fake is the test binary itself, run again: a test package calls [Main] first in
// its TestMain. Invariants: it behaves like the release it is told to be, with that
// release's flags, texts, exit codes and bugs; it enforces the order of calls; it keeps
// its state in a directory of the test and ends with it; a guest is a directory, and
// only a few harmless programs "run in it", on the host.
package smolvmtest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/pkg/smolvm"
)

// The variables that make the test binary a fake.
const (
	envState   = "FAKE_SMOLVM_STATE"   // directory; its presence is the switch
	envVersion = "FAKE_SMOLVM_VERSION" // "1.9.3"
	envName    = "FAKE_SMOLVM_NAME"    // "smolvm" or "smolvm-lite"
	envVMM     = "FAKE_SMOLVM_VMM"     // this process plays the machine's VMM
)

// Versions are the releases that the fake is tested as.
func Versions() []string { return []string{"0.8.0", "1.0.2", "1.8.1", "1.9.3"} }

// Options choose what the fake says it is. Zero: smolvm 1.9.3.
type Options struct{ Name, Version string }

// Fake is one installation of the fake, with its own machines.
type Fake struct {
	tb      testing.TB
	options Options
	store   store
}

// New makes a fake that ends with the test.
func New(tb testing.TB, options Options) *Fake {
	tb.Helper()
	if options.Name == "" {
		options.Name = smolvm.NameSmolvm
	}
	if options.Version == "" {
		options.Version = "1.9.3"
	}
	f := &Fake{tb: tb, options: options, store: store{dir: tb.TempDir()}}
	tb.Cleanup(f.killAll)
	return f
}

// Path is the fake's program.
func (f *Fake) Path() string {
	f.tb.Helper()
	path, err := os.Executable()
	if err != nil {
		f.tb.Fatal(err)
	}
	return path
}

// Vars are the variables that make Path a fake: for the set argument of [smolvm.Environ].
func (f *Fake) Vars() map[string]string {
	vars := map[string]string{
		envState: f.store.dir, envVersion: f.options.Version, envName: f.options.Name,
		"GORACE": "atexit_sleep_ms=0", // a race-enabled binary lingers for a second otherwise
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		vars["GOCOVERDIR"] = dir
	}
	return vars
}

// Config is for [smolvm.New], also for versions that [smolvm.Detect] would refuse. Its
// grace is long: on a loaded host a call's last output may be late.
func (f *Fake) Config() smolvm.Config {
	f.tb.Helper()
	version, err := smolvm.ParseVersion(f.options.Version)
	if err != nil {
		f.tb.Fatal(err)
	}
	return smolvm.Config{
		Tool:  smolvm.Tool{Path: f.Path(), Name: f.options.Name, Version: version},
		Env:   smolvm.Environ(nil, f.Vars()),
		Grace: 10 * time.Second,
	}
}

// Client drives the fake.
func (f *Fake) Client() *smolvm.Client {
	f.tb.Helper()
	return smolvm.New(f.Config())
}

// The ways in which a call can go wrong.
const (
	Hang        = "hang"         // never answers
	HangHard    = "hang-hard"    // never answers, and ignores SIGINT
	Garbage     = "garbage"      // prints bytes instead of an answer, exit 0
	Mixup       = "mixup"        // status: answers about another machine
	Flood       = "flood"        // prints far too much, exit 0
	Noop        = "noop"         // says that it did it, and did not
	Exit137     = "exit137"      // as an exec does right after a start
	NoSpace     = "no-space"     // fails with a full disk
	NoKVM       = "no-kvm"       // fails with the text for a host without KVM
	KeepProcess = "keep-process" // stop, delete: the record changes, the VMM lives on
	HoldOutput  = "hold-output"  // start: the VMM keeps the caller's stderr open
	GuestLog    = "guest-log"    // start: fails, quoting a log that the guest made up
)

// Fail makes the next times calls of a subcommand ("machine exec", "pack create",
// "--version") go wrong; times < 0 is for ever.
func (f *Fake) Fail(subcommand, how string, times int) {
	f.tb.Helper()
	err := f.store.update(func(s *state) error {
		s.Faults = append(s.Faults, fault{Subcommand: subcommand, How: how, Times: times})
		return nil
	})
	if err != nil {
		f.tb.Fatal(err)
	}
}

// Call is one run of the fake.
type Call struct {
	Args  []string `json:"args"`
	Env   []string `json:"env"`   // names only
	Stdin string   `json:"stdin"` // "null", "pipe", "file", "terminal" or "closed"
	Group int      `json:"group"` // process group
}

// Calls are all runs so far, in order.
func (f *Fake) Calls() []Call {
	f.tb.Helper()
	data, err := os.ReadFile(f.store.path(callsFile))
	if err != nil && !os.IsNotExist(err) {
		f.tb.Fatal(err)
	}
	var calls []Call
	for line := range strings.Lines(string(data)) {
		var call Call
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			f.tb.Fatal(err)
		}
		calls = append(calls, call)
	}
	return calls
}

// Subcommands is Calls with only "machine start" and the like of each.
func (f *Fake) Subcommands() []string {
	f.tb.Helper()
	var list []string
	for _, call := range f.Calls() {
		list = append(list, subcommandOf(call.Args))
	}
	return list
}

func subcommandOf(args []string) string {
	if len(args) > 1 && !strings.HasPrefix(args[0], "-") {
		return args[0] + " " + args[1]
	}
	return strings.Join(args[:min(1, len(args))], "")
}

// Artifact writes an artifact that the fake can boot and returns its path.
func (f *Fake) Artifact(manifest Manifest) string {
	f.tb.Helper()
	path := filepath.Join(f.tb.TempDir(), "test"+smolvm.ArtifactSuffix)
	if err := WriteArtifact(path, manifest); err != nil {
		f.tb.Fatal(err)
	}
	return path
}

// killAll ends every VMM, those that a bug orphaned too.
func (f *Fake) killAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := f.store.update(func(s *state) error {
		for _, pid := range s.VMMs {
			endVMM(ctx, pid)
		}
		s.VMMs = nil
		return nil
	})
	if err != nil {
		f.tb.Errorf("ending the fake's machines: %v", err)
	}
}
