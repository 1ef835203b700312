//go:build linux

package initd

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The fixed places inside the container.
const (
	HealthSocket = "/run/bottle-init.sock"

	// DaemonsEnv lists the daemons when the bootstrap does not: unset means all, empty none.
	DaemonsEnv = "BOTTLE_DAEMONS"
)

// Daemon is a program that init can run.
type Daemon struct {
	Name   string
	Path   string // "" means Config.Program
	Args   []string
	Env    []string // its whole environment, beside the descriptor of its channel
	UID    int      // whom it runs as, group too; 0 means init's own
	Health string   // an http URL whose GET answers 200, or tcp://HOST:PORT; "" means running is enough
}

// Timing is how patient init is. Zero fields mean [DefaultTiming].
type Timing struct {
	Grace      time.Duration // from TERM to KILL
	BackoffMin time.Duration // first pause before a restart; doubles
	BackoffMax time.Duration
	Window     time.Duration // deaths within it count, and a run that long forgives them
	GiveUp     int           // deaths within Window that raise a give-up event
	Poll       time.Duration // between two looks at the daemons' health
}

// DefaultTiming returns the figures of the design.
func DefaultTiming() Timing {
	return Timing{
		Grace: 2 * time.Second, BackoffMin: 100 * time.Millisecond, BackoffMax: 5 * time.Second,
		Window: time.Minute, GiveUp: 5, Poll: 50 * time.Millisecond,
	}
}

// Config is everything init needs. All fields but Timing are required.
type Config struct {
	Daemons      []Daemon // all that exist
	Program      string   // the multi-call program, for daemons without a Path
	Env          []string // where DaemonsEnv is looked up
	HealthSocket string   // HealthSocket in the container
	Stdin        io.Reader
	Stdout       io.Writer
	Stderr       io.Writer
	Timing       Timing
}

// selected returns the daemons to run: the bootstrap's list, else the environment's.
func (c Config) selected(wanted []string) ([]Daemon, error) {
	if wanted == nil {
		value, isSet := lookup(c.Env, DaemonsEnv)
		if !isSet {
			return c.Daemons, nil
		}
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name != "" {
				wanted = append(wanted, name)
			}
		}
	}
	var found []Daemon
	for _, name := range wanted {
		at := slices.IndexFunc(c.Daemons, func(d Daemon) bool { return d.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("unknown daemon %.40q", name)
		}
		found = append(found, c.Daemons[at])
	}
	return found, nil
}

func lookup(env []string, name string) (value string, isSet bool) {
	for _, pair := range env {
		if key, v, ok := strings.Cut(pair, "="); ok && key == name {
			value, isSet = v, true
		}
	}
	return value, isSet
}
