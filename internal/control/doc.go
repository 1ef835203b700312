// Package control is the protocol between the host and the bundle's init.
//
// It runs over the container's attached stdin and stdout: frames of a 4-byte big-endian
// length and at most [MaxFrame] bytes of JSON, {"type": ..., "body": {...}}. The host sends
// bootstrap, reload and shutdown; init answers with ready, refused and events. Invariants:
//
//   - Strict: an unknown type or field, a bad value, an oversize or torn frame is an error,
//     and nothing after it is read. A host recovers by restarting the container.
//   - Keys and tokens travel in bootstrap only, towards init only (the engine logs stdout,
//     not stdin), and are redacting types on both sides.
//   - Text that comes from the container is bounded and has no control characters.
package control
