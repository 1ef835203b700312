//go:build linux

// Package initd is PID 1 of the bundle's container.
//
// It waits for the host's bootstrap on stdin, opens the gate, runs the daemons and tells
// the host what becomes of them. Invariants:
//
//   - Nothing listens and no daemon runs before a bootstrap with a key.
//   - A dead daemon comes back, with backoff, for as long as init lives; so do orphans
//     get reaped.
//   - The host may go and come back: the end of stdin ends nothing else.
//   - A daemon gets its own secrets on an inherited pipe, and nothing of anybody else's.
//   - SIGUSR1 never reaches a daemon: it is a kill switch in pipelock.
package initd
