//go:build release

package prebuilt

import (
	"embed"
	"io/fs"
)

//go:embed programs/amd64/*.gz programs/amd64/bottle.lock
var embeddedFS embed.FS

// Programs holds our programs for linux/amd64, each as NAME.gz, and bottle.lock.
func Programs() fs.FS {
	sub, err := fs.Sub(embeddedFS, "programs/amd64")
	if err != nil {
		panic(err) // the path is a constant
	}
	return sub
}
