// Package agents runs the real agent programs in real bottles, offline: as a new user would
// with `bottle init --try` and `bottle start`, against the model that the echo upstream plays.
// Its tests are under the build tag integration. Claude Code always runs; BOTTLE_SLOW=1 adds
// Codex and OpenCode.
package agents
