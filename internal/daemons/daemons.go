// Package daemons lists the daemons of the bundle: what they are called, whom they run as
// and where the agent finds them. The image has a user of each name.
package daemons

import "slices"

// The daemons.
const (
	Gate      = "gate"
	Firewall  = "firewall"
	Egress    = "egress"
	GitGate   = "git-gate"
	Supervise = "supervise"
)

// Daemon is one of the bundle's programs.
type Daemon struct {
	Name   string
	UID    int    // its user and group in the container, nobody else's
	Volume string // directory on the engine's disk for what memory cannot hold; "" for most
}

// All returns the daemons in the order in which they are started.
func All() []Daemon {
	return []Daemon{
		{Name: Gate, UID: 64880},
		{Name: Egress, UID: 64882},
		{Name: Firewall, UID: 64881},
		{Name: GitGate, UID: 64883, Volume: "/var/lib/git-gate"},
		{Name: Supervise, UID: 64884},
	}
}

// ByName returns the daemon of that name.
func ByName(name string) (Daemon, bool) {
	all := All()
	at := slices.IndexFunc(all, func(d Daemon) bool { return d.Name == name })
	if at < 0 {
		return Daemon{}, false
	}
	return all[at], true
}

// RunDir is the daemon's own directory in memory, which no other can look into.
func (d Daemon) RunDir() string { return "/run/" + d.Name }
