// Package chain proves on a real container engine, without any VM, what the bundle
// promises: the host's half and the daemons are the real ones, and the tests stand where
// the relay of a guest would stand. It is only tests, under the build tag integration.
//
// Invariants: what must be refused is first proved to be alive; everything carries the
// owner's label of this package and is removed at the end, after a failure too; nothing
// is dialled outside this machine.
package chain
