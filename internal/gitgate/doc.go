// Package gitgate is the bundle's git gate: the agent's only way to a git repository.
//
// It serves smart HTTP with one bare mirror for each remote of the bottle. A fetch
// refreshes the mirror from the upstream first; a push is unpacked into a quarantine,
// judged, scanned and then forwarded over ssh with a pinned host key. Invariants:
//
//   - No byte of a push reaches the upstream or the mirror before the whole push was
//     judged: the mirror holds nothing but what the upstream sent.
//   - A limit, a deadline, an object that cannot be read, a question that nobody answers:
//     each refuses the whole push. All refs of a push are taken, or none.
//   - The quarantine is removed whatever happens, at the next start at the latest.
//   - git runs with an environment and settings of our own. Nothing in a repository, ours or
//     pushed, can start a program, and no transport but ssh is known.
//   - The private key is not here: ssh signs through the host (see package sshagent).
//   - A refusal names commit, path, line and rule, never the secret.
package gitgate
