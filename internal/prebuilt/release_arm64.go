//go:build release

package prebuilt

import (
	"embed"
	"io/fs"
)

//go:embed programs/arm64/*.gz programs/arm64/bottle.lock
var embeddedFS embed.FS

// Programs holds our programs for linux/arm64, each as NAME.gz, and bottle.lock.
func Programs() fs.FS {
	sub, err := fs.Sub(embeddedFS, "programs/arm64")
	if err != nil {
		panic(err) // the path is a constant
	}
	return sub
}
