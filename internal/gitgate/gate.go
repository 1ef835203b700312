package gitgate

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/control"
	"bottle.internal/internal/gitgate/pushscan"
	"bottle.internal/internal/journal"
	"bottle.internal/internal/printable"
)

// Where the daemon lives inside the bundle.
const (
	DefaultListen   = "127.0.0.1:9420"
	DefaultStateDir = "/var/lib/git-gate"
	DefaultRunDir   = "/run/git-gate"
	defaultDial     = "/usr/local/bin/bundle"
)

// Channel is the daemon's way to init and the host.
type Channel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
	Ask(ctx context.Context, kind string, body, answer any) error
}

// Options are what a [Gate] needs. Channel is required; the rest has defaults.
type Options struct {
	Channel     Channel
	Log         io.Writer // nil: dropped
	Listen      string    // DefaultListen
	StateDir    string    // the mirrors and quarantines, ours alone; DefaultStateDir
	RunDir      string    // sockets and small files, short of path; DefaultRunDir
	DialCommand []string  // what runs [DialMain]; no spaces in it
	Git         string    // "git"
	SSH         string    // "ssh"
	Now         func() time.Time
	// AnswerTime is how long an upstream may take to say what it has; default 4.5 s, so that
	// the agent hears of one that is down within 5 s.
	AnswerTime time.Duration
}

// Gate is the git gate. Make it with [New], then call Serve once.
type Gate struct {
	options Options
	journal *journal.Journal[line]
	config  atomic.Pointer[configured]
	serial  atomic.Uint64
	rules   *pushscan.Rules

	slots    chan struct{} // upload-packs under way
	scanning chan struct{} // one scan at a time bounds the memory
	host     string
	base     context.Context //nolint:containedctx // what outlives a request ends with the gate
	running  sync.WaitGroup  // requests, and refreshes in the background
	closing  sync.Mutex
	closed   bool
}

// configured is one configuration in force.
type configured struct {
	remotes  map[string]*remoteState
	limits   Limits
	canaries *canary.Finder
}

// Run is the daemon: it serves at the default places until ctx ends. A first configuration
// that is not understood is an error; a later one leaves the old in force.
func Run(ctx context.Context, channel Channel, log io.Writer) error {
	return RunWith(ctx, Options{Channel: channel, Log: log})
}

// RunWith is Run at other places.
func RunWith(ctx context.Context, options Options) error {
	gate, err := New(options)
	if err != nil {
		return err
	}
	inputs, err := options.Channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	if err := gate.apply(inputs); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", gate.options.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", gate.options.Listen, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	reloads.Go(func() { gate.reloadOn(ctx) })
	err = gate.Serve(ctx, listener)
	cancel()
	reloads.Wait()
	return err
}

// New prepares the directories; quarantines that a killed gate left are removed.
func New(options Options) (*Gate, error) {
	options = options.withDefaults()
	g := &Gate{
		options: options, rules: pushscan.NewRules(),
		slots: make(chan struct{}, 8), scanning: make(chan struct{}, 1),
	}
	g.journal = journal.New[line](options.Log, options.Now)
	if err := os.RemoveAll(g.quarantines()); err != nil {
		return nil, fmt.Errorf("removing old quarantines: %w", err)
	}
	for _, dir := range []string{options.StateDir, options.RunDir, g.home(), g.quarantines(), g.mirrors()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the directories: %w", err)
		}
	}
	return g, nil
}

func (o Options) withDefaults() Options {
	set := func(text *string, value string) {
		if *text == "" {
			*text = value
		}
	}
	set(&o.Listen, DefaultListen)
	set(&o.StateDir, DefaultStateDir)
	set(&o.RunDir, DefaultRunDir)
	set(&o.Git, "git")
	set(&o.SSH, "ssh")
	if o.DialCommand == nil {
		o.DialCommand = []string{defaultDial, "git-dial"}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (g *Gate) home() string        { return filepath.Join(g.options.RunDir, "home") }
func (g *Gate) quarantines() string { return filepath.Join(g.options.StateDir, "quarantine") }
func (g *Gate) mirrors() string     { return filepath.Join(g.options.StateDir, "mirrors") }
func (g *Gate) targetsFile() string { return filepath.Join(g.options.RunDir, "targets.json") }

// apply puts a configuration in force, or leaves the old one.
func (g *Gate) apply(inputs control.Inputs) error {
	input, ok := inputs[ConfigFile]
	if !ok {
		return fmt.Errorf("there is no %s", ConfigFile)
	}
	config, err := Parse([]byte(input.Reveal()))
	if err != nil {
		return err
	}
	next := &configured{remotes: map[string]*remoteState{}, limits: config.Limits.withDefaults(), canaries: canary.NewFinder(config.Canaries)}
	for _, spec := range config.Remotes {
		state, err := g.remoteState(spec)
		if err != nil {
			return err
		}
		next.remotes[spec.Name] = state
	}
	if err := g.writeTargets(config); err != nil {
		return err
	}
	g.config.Store(next)
	return nil
}

// remoteState keeps the locks of a remote whose upstream stays the same.
func (g *Gate) remoteState(spec Remote) (*remoteState, error) {
	state := &remoteState{spec: spec, mirror: filepath.Join(g.mirrors(), spec.Name+".git"), protect: newProtector(spec.Protect)}
	state.knownHosts = filepath.Join(g.options.RunDir, "known-"+spec.Name+"-"+randomName())
	state.upstream = &upstream{pushing: make(chan struct{}, 1)}
	if old := g.config.Load(); old != nil {
		if before, ok := old.remotes[spec.Name]; ok && before.spec.url() == spec.url() && before.spec.KnownHostKey == spec.KnownHostKey {
			state.upstream, state.knownHosts = before.upstream, before.knownHosts
			return state, nil
		}
	}
	return state, replaceFile(state.knownHosts, []byte(spec.KnownHostKey+"\n"))
}

func (g *Gate) reloadOn(ctx context.Context) {
	// The end of the channel is none of the gate: its remotes stay as they are.
	_ = control.Follow(ctx, g.options.Channel.Inputs(), func(inputs control.Inputs) {
		if err := g.apply(inputs); err != nil {
			g.journal.Write(line{Event: eventReload, Problem: printable.ASCII(err.Error(), 400)})
			return
		}
		g.journal.Write(line{Event: eventReload, Remotes: g.remotes()})
	})
}

func (g *Gate) remotes() *int {
	n := len(g.config.Load().remotes)
	return &n
}
