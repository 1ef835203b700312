// Package prebuilt carries our own programs for guest and bundle, and bottle.lock, in a
// released bottle, so that it needs neither Go nor a checkout.
//
// They are put there by internal/prebuilt/make, which asks gobuild for them: a release has
// the same bytes as a checkout of the same commit builds. Each bottle has the programs for
// its own processor, which is the guest's too. Without the build tag release there are none.
package prebuilt
