// Package link is the authenticated road from a guest's socket to a daemon in the bundle.
//
// A [Relay] on the host accepts a guest's bytes on a unix socket and carries them to the
// bundle's one published port, where a [Gate] admits whoever proves the bottle's [Key].
// Invariants:
//
//   - Both sides prove the key, and the port is part of the proof. Whoever lacks the key
//     gets nothing from a gate; whoever squats on a dead bundle's port gets only a nonce.
//   - The bytes of a guest are carried, never parsed.
//   - Every connection and goroutine has an owner that waits for it: after Close or a
//     cancelled context nothing of this package runs.
package link
