package sbom

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/package-url/packageurl-go"
)

// largest is the size up to which a program is read. Ours have a tenth of it; what is
// larger is a runtime in one file, which its npm package names.
const largest = 128 << 20

// Image is the component of an image: what its layers' records and programs say, and
// what its recipe pins.
func Image(name string, image v1.Image, pinned []Component) (Component, error) {
	component, err := readImage(name, image)
	if err != nil {
		return Component{}, fmt.Errorf("reading what is in the image %s: %w", name, err)
	}
	component.Parts = append(component.Parts, pinned...)
	return component, nil
}

func readImage(name string, image v1.Image) (Component, error) {
	digest, err := image.Digest()
	if err != nil {
		return Component{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return Component{}, err
	}
	layers, err := image.Layers()
	if err != nil {
		return Component{}, err
	}
	found := &contents{records: map[string][]byte{}, programs: map[string]Component{}}
	for _, layer := range layers {
		if err := found.readLayer(layer); err != nil {
			return Component{}, err
		}
	}
	component := Component{
		Name: name, Version: digest.String(), Purpose: Container, SHA256: digest.Hex,
		Source: "container image for " + config.OS + "/" + config.Architecture,
		PURL: packageurl.NewPackageURL(packageurl.TypeOCI, "", name, digest.String(),
			packageurl.QualifiersFromMap(map[string]string{"arch": config.Architecture}), "").ToString(),
	}
	component.Parts = debianPackages(found.records)
	for _, name := range slices.Sorted(maps.Keys(found.programs)) {
		component.Parts = append(component.Parts, found.programs[name])
	}
	return component, nil
}

// contents is what the layers have, a later one over the earlier ones.
type contents struct {
	records  map[string][]byte
	programs map[string]Component
}

func (c *contents) readLayer(layer v1.Layer) error {
	plain, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.entry(header, archive); err != nil {
			return err
		}
	}
}

func (c *contents) entry(header *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
	dir, base := path.Split(name)
	switch {
	case base == ".wh..wh..opq":
		c.remove(dir, false)
		return nil
	case strings.HasPrefix(base, ".wh."):
		c.remove(dir+strings.TrimPrefix(base, ".wh."), true)
		return nil
	case header.Typeflag != tar.TypeReg:
		if header.Typeflag != tar.TypeDir {
			c.remove(name, true)
		}
		return nil
	}
	delete(c.programs, name)
	if isRecord(name) {
		text, err := io.ReadAll(io.LimitReader(content, largest))
		c.records[name] = text
		return err
	}
	if header.Mode&0o111 == 0 || header.Size > largest {
		return nil
	}
	return c.program(name, content)
}

// program takes a file that is an ELF program of Go.
func (c *contents) program(name string, content io.Reader) error {
	magic := make([]byte, 4)
	if _, err := io.ReadFull(content, magic); err != nil || string(magic) != "\x7fELF" {
		return nil //nolint:nilerr // a file of three bytes is no program
	}
	var whole bytes.Buffer
	whole.Write(magic)
	if _, err := io.Copy(&whole, content); err != nil {
		return err
	}
	if found, ok := Program("/"+name, whole.Bytes()); ok {
		c.programs[name] = found
	}
	return nil
}

// remove forgets a path and what lies below it; without self, only the latter.
func (c *contents) remove(name string, self bool) {
	below := strings.TrimSuffix(name, "/") + "/"
	gone := func(known string) bool { return self && known == name || strings.HasPrefix(known, below) }
	maps.DeleteFunc(c.records, func(known string, _ []byte) bool { return gone(known) })
	maps.DeleteFunc(c.programs, func(known string, _ Component) bool { return gone(known) })
}

// NPM is the component of a pinned npm tarball.
func NPM(name, version, license, sha512 string) Component {
	namespace, base := "", name
	if at := strings.LastIndex(name, "/"); at >= 0 {
		namespace, base = name[:at], name[at+1:]
	}
	return Component{
		Name: name, Version: version, Purpose: Application, License: spdxExpression(license), SHA512: sha512,
		Source: "npm tarball, pinned by its integrity in the recipe",
		PURL:   packageurl.NewPackageURL(packageurl.TypeNPM, namespace, base, version, nil, "").ToString(),
	}
}
