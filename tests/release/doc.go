// Package release holds the workflows and the release to what docs/release.md promises.
//
// The checks of the files are cheap and always run. What makes a release takes minutes:
// BOTTLE_SLOW=1. What reads an image needs Docker: build tag integration.
package release
