// Package app is the composition root: it finds the directories, the tools and the
// engine, wires the packages together, and has one method per thing that a person can
// ask for.
//
// Invariants: it prints nothing, internal/cli does; it decides nothing that a plan could
// decide; what a method opened it closes, or hands to what it returns.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"bottle.internal/internal/doctor"
	"bottle.internal/internal/event"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/lockfile"
	"bottle.internal/internal/prebuilt"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// Config is what an App knows of the process that it runs in.
type Config struct {
	Environ  []string
	Dir      string // working directory
	Manifest string // explicit manifest, or empty for the user's own
	Source   string // our checkout, or empty: found from Dir
	Self     string // the bottle program, or empty: this process is another one
	Prebuilt fs.FS  // our programs, where this is a release
	UID, GID int
	OS, Arch string // as Go spells them; empty: this machine's
	Events   event.Sink
	// Ask asks the person a question whose answer is a secret.
	Ask func(ctx context.Context, question string) (secret.Value, error)
	// Observe is told of every effect of a launch and its end. Nil but in tests.
	Observe func(effect string)
}

// App answers what the command line asks.
type App struct {
	config Config
	dirs   dirs
	source string // empty if there is no checkout
	state  *state.Root
	events event.Sink
	tool   once[*smolvm.Client]
	// measure is [doctor.Measure] but in tests.
	measure func([]doctor.Place) ([]doctor.Space, error)
	locks   once[lockfile.File]

	mu   sync.Mutex
	jobs map[string]*once[*imagebuild.Job] // by recipe and tools
}

// FromProcess is the Config of an installed bottle.
func FromProcess() Config {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return Config{Environ: os.Environ(), Dir: dir, UID: os.Getuid(), GID: os.Getgid(), Prebuilt: prebuilt.Programs()}
}

// FromCheckout is the Config of mage in this repository: its own manifest.
func FromCheckout() Config {
	config := FromProcess()
	if root, err := gobuild.FindRoot(config.Dir); err == nil {
		config.Source = root
		if config.getenv("BOTTLE_MANIFEST") == "" {
			config.Manifest = filepath.Join(root, ManifestName)
		}
	}
	return config
}

// ManifestName is the file name of a manifest.
const ManifestName = "bottle.toml"

// New makes an App; it makes and checks the state directory.
func New(config Config) (*App, error) {
	config.OS, config.Arch = cmp.Or(config.OS, runtime.GOOS), cmp.Or(config.Arch, runtime.GOARCH)
	a := &App{config: config, events: config.Events, measure: doctor.Measure, jobs: map[string]*once[*imagebuild.Job]{}}
	if a.events == nil {
		a.events = event.Discard()
	}
	var err error
	if a.dirs, err = config.dirs(); err != nil {
		return nil, err
	}
	if a.state, err = state.OpenRoot(a.dirs.state); err != nil {
		return nil, &Problem{Err: err, Hints: []string{"keep it elsewhere: export XDG_STATE_HOME=/a/directory/of/your/own"}}
	}
	if a.source, err = config.source(); err != nil {
		return nil, err
	}
	return a, nil
}

func (c Config) getenv(name string) string {
	for _, v := range slices.Backward(c.Environ) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// dirs are the roots of everything that we keep.
type dirs struct {
	home, cache, state, data, config string
}

// dirs follows the XDG base directories, on macOS too. Relative values are invalid
// there, so they are ignored.
func (c Config) dirs() (dirs, error) {
	home := c.getenv("HOME")
	if !filepath.IsAbs(home) {
		return dirs{}, &Problem{Text: "HOME is not set to an absolute path", Hints: []string{"export HOME=/your/home/directory"}}
	}
	xdg := func(name, fallback string) string {
		if dir := c.getenv(name); filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(home, fallback)
	}
	return dirs{
		home:   home,
		cache:  filepath.Join(xdg("XDG_CACHE_HOME", ".cache"), "bottle"),
		state:  filepath.Join(xdg("XDG_STATE_HOME", ".local/state"), "bottle"),
		data:   xdg("XDG_DATA_HOME", ".local/share"),
		config: filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "bottle"),
	}, nil
}

// kernelDir is where smolvm-lite looks for the guest kernel, and where setup puts it.
func (a *App) kernelDir() string {
	if dir := a.config.getenv("SMOLVM_LITE_KERNEL"); dir != "" {
		return dir
	}
	return filepath.Join(a.dirs.data, "smolvm-lite", "kernel")
}

// source finds the checkout that our programs are built from.
func (c Config) source() (string, error) {
	if c.Source != "" {
		return c.Source, nil
	}
	if dir := c.getenv("BOTTLE_SOURCE"); dir != "" {
		root, err := gobuild.FindRoot(dir)
		if err != nil {
			return "", fmt.Errorf("looking at BOTTLE_SOURCE: %w", err)
		}
		return root, nil
	}
	root, err := gobuild.FindRoot(c.Dir)
	if errors.Is(err, gobuild.ErrNoSource) {
		return "", nil
	}
	return root, err
}

// Problem is an error with lines that tell a person what to type: Text, or Err, or both.
type Problem struct {
	Text  string
	Hints []string
	Err   error
}

func (p *Problem) Error() string {
	switch {
	case p.Err == nil:
		return p.Text
	case p.Text == "":
		return p.Err.Error()
	}
	return p.Text + ": " + p.Err.Error()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// HintLines returns what to type.
func (p *Problem) HintLines() []string { return p.Hints }
