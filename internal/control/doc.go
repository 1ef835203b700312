// Package control is the protocol between the host, the bundle's init and its daemons.
//
// Between host and init it runs over the container's attached stdin and stdout: frames of a 4-byte big-endian
// length and at most [MaxFrame] bytes of JSON, {"type": ..., "body": {...}}. The host sends
// bootstrap, deliver, answer and shutdown; init sends ready, refused, events, and what its
// daemons ask. The same frames run between init and each daemon, over an inherited socket:
// inputs and answers down, questions up. Invariants:
//
//   - Strict: an unknown type or field, a bad value, an oversize or torn frame is an error,
//     and nothing after it is read. A host recovers by restarting the container.
//   - Keys and tokens travel towards the daemons only (the engine logs stdout, not stdin),
//     and are redacting types on all sides; an answer is for the one daemon that asked.
//   - Text that comes from the container is bounded and has no control characters.
package control
