// Package rig is what the integration tests and the benchmarks have in common: the built
// programs, a state directory of their own, and a look at everything that a bottle
// could leave behind. Its code is under the build tag integration.
package rig
