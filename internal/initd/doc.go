//go:build linux

// Package initd is PID 1 of the bundle's container.
//
// It waits for the host's bootstrap on stdin, runs the daemons, each under a uid of its own,
// tells the host what becomes of them, and carries their questions to it. Invariants:
//
//   - It listens on no network itself, and no daemon runs before a bootstrap.
//   - A dead daemon comes back, with backoff, for as long as init lives; so do orphans
//     get reaped.
//   - The host may go and come back: the end of stdin ends nothing else.
//   - A daemon gets its own inputs on an inherited socket, and nothing of anybody else's.
//   - SIGUSR1 never reaches a daemon: it is a kill switch in pipelock.
package initd
