// Package doctor checks what this machine has for running bottles, and installs what is
// missing where it may.
//
// It decides first and acts then: [Check] only looks, [Steps] is pure, [Install] runs
// the steps that may run by themselves and names the others as lines to type. Nothing
// but Debian packages is installed; the guest's kernel is unpacked, never installed.
// The host's proxies and certificates are never touched.
package doctor

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"bottle.internal/internal/event"
)

// Status is how an item is.
type Status string

// The states of an item.
const (
	OK      Status = "ok"
	Missing Status = "missing"
	Broken  Status = "broken" // there, but it does not work
)

// Names of the items.
const (
	Go         = "go"
	Git        = "git"
	Docker     = "docker"
	QEMU       = "qemu"
	Mmdebstrap = "mmdebstrap"
	MkfsExt4   = "mkfs.ext4"
	CACerts    = "ca-certificates"
	Iproute    = "iproute2"
	Kernel     = "kernel"
	Smolvm     = "smolvm"
	Disk       = "disk"
	KVM        = "kvm"
)

// Cause refines a broken item.
type Cause string

// The causes that have a remedy of their own.
const (
	NotRunning   Cause = "not running"
	NoPermission Cause = "no permission"
)

// Item is one thing that bottles need, or could use.
type Item struct {
	Name     string   `json:"name"`
	Status   Status   `json:"status"`
	Optional bool     `json:"optional,omitempty"` // bottles run without it
	Version  string   `json:"version,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Cause    Cause    `json:"cause,omitempty"`
	Fix      []string `json:"fix,omitempty"` // lines to type
}

// Needed reports whether bottles cannot run before this is fixed.
func (i Item) Needed() bool { return i.Status != OK && !i.Optional }

// AllFine reports whether bottles can run.
func AllFine(items []Item) bool {
	for _, item := range items {
		if item.Needed() {
			return false
		}
	}
	return true
}

// Options say where things are.
type Options struct {
	KernelDir string   // of smolvm-lite: boot/vmlinuz-REL and lib/modules/REL
	DataDir   string   // where caches and machines go, for its free space
	LogDir    string   // for the log of a dockerd that we start
	Prebuilt  bool     // bottle carries its programs: no Go is needed to build them
	Env       []string // of this process
	Events    event.Sink
	Log       io.Writer // what apt prints; nil: nowhere
	System    *System   // nil: this machine
	// Engine asks the Docker Engine for its version.
	Engine func(ctx context.Context) (version string, err error)
}

func (o Options) withDefaults() Options {
	if o.Events == nil {
		o.Events = event.Discard()
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.System == nil {
		o.System = thisMachine(o.Env, o.Engine)
	}
	return o
}

func (o Options) lookup(name string) string {
	for _, variable := range o.Env {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// Command is one run of a program.
type Command struct {
	Args   []string
	Dir    string
	Output io.Writer // gets what it prints as well; may be nil
}

// System is the machine as this package sees it, so that tests can have another one.
type System struct {
	GOOS, GOARCH string
	UID          int
	Root         string // in front of /etc/os-release, /dev/kvm and the like

	Find   func(name string) (string, error)
	Run    func(ctx context.Context, command Command) (output []byte, err error)
	Start  func(args []string, log *os.File) error // detached
	Engine func(ctx context.Context) (version string, err error)
	Free   func(dir string) (bytes uint64, err error)
}

func (s *System) path(name string) string { return filepath.Join("/", s.Root, name) }

func (s *System) exists(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

func (s *System) qemu() string {
	if s.GOARCH == "arm64" {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

func thisMachine(env []string, engine func(context.Context) (string, error)) *System {
	r := runner{env: env}
	return &System{
		GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, UID: os.Getuid(),
		Find: r.find, Run: r.run, Start: r.start, Engine: engine, Free: freeBytes,
	}
}
