package npm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// askTimeout bounds a question about a version.
const askTimeout = 30 * time.Second

// about is what a registry says of one version.
type about struct {
	Version string `json:"version"`
	Dist    struct {
		Tarball   string `json:"tarball"`
		Integrity string `json:"integrity"`
	} `json:"dist"`
}

var exactVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]*$`)

// Newest asks for the version of a package that the registry calls the latest. With a
// suffix it is the version of a platform, which is published beside the main one. The
// answer is a stranger's: what does not look like a version or an integrity is refused.
func (d *Downloader) Newest(ctx context.Context, name, suffix string) (Package, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, fmt.Errorf("no answer within %v", askTimeout))
	defer cancel()
	latest, err := d.version(ctx, Package{Name: name, Version: "latest"})
	if err == nil && suffix != "" {
		latest, err = d.version(ctx, Package{Name: name, Version: latest.Version + suffix})
	}
	if err == nil {
		_, err = Digest(latest.Integrity)
	}
	if err != nil {
		return Package{}, fmt.Errorf("asking for npm package %s: %w", name, cause(ctx, err))
	}
	return latest, nil
}

func (d *Downloader) version(ctx context.Context, pkg Package) (Package, error) {
	known, err := d.describe(ctx, pkg)
	if err != nil {
		return Package{}, err
	}
	if !exactVersion.MatchString(known.Version) {
		return Package{}, fmt.Errorf("%q is not a version", known.Version)
	}
	return Package{Name: pkg.Name, Version: known.Version, Integrity: known.Dist.Integrity}, nil
}

// describe reads the registry's description of a version.
func (d *Downloader) describe(ctx context.Context, pkg Package) (about, error) {
	base, err := d.Settings.Registry(pkg.Name)
	if err != nil {
		return about{}, err
	}
	address := base.String() + strings.ReplaceAll(pkg.Name, "/", "%2f") + "/" + pkg.Version
	response, err := d.get(ctx, address, 0)
	if err != nil {
		return about{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if err := statusError(response); err != nil {
		return about{}, err
	}
	var known about
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&known); err != nil {
		return about{}, fmt.Errorf("%w: the registry's description cannot be read: %w", errFinal, err)
	}
	return known, nil
}
