// Package images carries the recipes of our two images, so that a program can build
// them wherever it is started. The Go programs that the recipes name are not in it.
package images

import (
	"embed"
	"io/fs"
)

//go:embed agent/image.toml all:agent/files bundle/image.toml
var recipes embed.FS

// Recipes holds agent/image.toml, agent/files and bundle/image.toml.
func Recipes() fs.FS { return recipes }
