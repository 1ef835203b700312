// Package transfer is the host's side of a copy-in and a copy-out: it sends a directory to a
// guest's program and remembers what went in, and stages what the guest says has changed.
// The guest's side is internal/guest/carry.
//
// Invariants: a record vouches for its base, and is written after it; a guest's answer is
// only staged, and what is applied is what was shown; a goroutine never outlives its call,
// whatever the guest does.
package transfer

// maxSaid bounds what is quoted of a guest.
const maxSaid = 2000
