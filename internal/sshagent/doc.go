// Package sshagent is the restricted ssh agent of the host: it signs for the git gate with
// keys that never leave this process.
//
// Invariants: a session (one connection of one ssh) sees the key of its own remote only; it
// signs nothing before it proved, with the server's signature over the session id, that it
// talks to the pinned host key; then only a well-formed request to log in to that very
// session as the remote's user. Everything else is refused. Sessions are bounded in number
// and life.
package sshagent
