// Package console is the terminal of an agent that nobody sits in front of: the owner of a
// detached bottle holds it, and people come to it and go.
//
// Invariants: the agent never waits for a viewer; one that reads too slowly is sent away.
// What is kept for the next viewer is bounded. A viewer is a process of the same user, as
// the kernel says; one that came to read cannot type. The screen is as small as the
// smallest viewer's, so that everybody sees all of it. The output is passed on as the guest
// wrote it: who shows it to a person filters it (internal/termsafe).
package console
