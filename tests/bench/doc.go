// Package bench measures what the issue promises, each time as one thing against
// another in the same run: a ratio says something on any machine, a time on one only.
// Its code is under the build tag integration; docs/performance.md says how to read it.
package bench
