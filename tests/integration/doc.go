// Package integration proves with real containers and a real VM what the unit tests
// claim: it is only tests, under the build tag integration.
//
// Invariants: bottles are started as a person would, by the bottle program; whatever
// must be refused is first proved to be alive, and what is alive counts its visitors;
// nothing outside the temporary state directory and our own labels is touched.
package integration
