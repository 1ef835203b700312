// Package escape tries to break out of a running bottle. A hostile program in the guest, as
// root where that helps it, tries each way out that we know of. It counts as blocked only
// where its target is alive: the control reaches it from where it may be reached, and the
// target's own counter says so; and that counter has not moved by the guest's attempt. The
// result is one table, on stdout and in the file that BOTTLE_ESCAPE_TABLE names.
//
// BOTTLE_SMOLVM and PIPELOCK_BIN pick what is under test, as for bottle itself; the table is
// the same. Its tests are under the build tag integration, and for Linux: the controls reach the
// engine's networks from the host.
package escape
