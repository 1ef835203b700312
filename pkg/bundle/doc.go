// Package bundle runs a bottle's sidecar container on the Docker Engine.
//
// [Start] makes a bridge network, for the demo an echo container, and the bundle itself,
// attached to before it starts; [Bundle.Close] takes all of it away again. Invariants:
//
//   - A Start that fails leaves nothing behind, at whichever call it failed.
//   - Everything carries labels of owner and identity, and nothing without them, or with
//     an identity that does not parse, is ever touched.
//   - The container has a read-only root, no capabilities, no new privileges, and limits on
//     memory, processes and log; its one published port is on 127.0.0.1.
//   - No secret is in its configuration: the engine writes that to disk and shows it.
package bundle
