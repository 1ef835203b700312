//go:build !release

package prebuilt

import "io/fs"

// Programs is nil: this bottle is no release, and builds its programs from the checkout.
func Programs() fs.FS { return nil }
