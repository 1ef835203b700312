package imagebuild

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"bottle.internal/internal/imagebuild/npm"
)

// Foreign is something in an image that somebody else made, with the digest that it is
// pinned by.
type Foreign struct {
	Name    string // of the npm package, or in [[supplied]]
	Version string // of an npm package
	SHA256  string // hex, of a supplied program
	SHA512  string // hex, of an npm tarball
	License string // as the tarball's package.json has it
}

// Foreign lists what the image would have from others, in the order of the recipe and
// without the base. It downloads the tarballs that the cache lacks.
func (j *Job) Foreign(ctx context.Context) ([]Foreign, error) {
	var all []Foreign
	for _, tool := range j.recipe.Npm {
		if !slices.Contains(j.selection.Tools, tool.Tool) {
			continue
		}
		ball, ok := j.builder.tarball(tool, j.selection.Platform)
		if !ok {
			return nil, fmt.Errorf("the tool %s is not pinned for %s", tool.Tool, j.selection.Platform.String())
		}
		digest, err := npm.Digest(ball.Integrity)
		if err != nil {
			return nil, err
		}
		tarball, err := j.builder.fetch(ctx, npm.Package{Name: ball.Package, Version: ball.Version, Integrity: ball.Integrity})
		if err != nil {
			return nil, err
		}
		license, err := npm.License(tarball)
		if err != nil {
			return nil, fmt.Errorf("npm package %s %s: %w", ball.Package, ball.Version, err)
		}
		all = append(all, Foreign{Name: ball.Package, Version: ball.Version, SHA512: hex.EncodeToString(digest), License: license})
	}
	for _, supplied := range j.recipe.Supplied {
		if file, ok := j.selection.Supplied[supplied.Name]; ok {
			all = append(all, Foreign{Name: supplied.Name, SHA256: file.SHA256})
		}
	}
	return all, nil
}
