// Package lockfile is bottle.lock: what exactly the images of a checkout are made of.
//
// A recipe says what is wanted (a base, a tool), the lock which one that is. Invariants:
// the same content is always the same text; a text that this package did not write, or
// that somebody edited so that a digest and its list disagree, is refused; no mirror and no
// registry is named in it, so it holds wherever the packages come from.
package lockfile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Name is the file's name in a checkout.
const Name = "bottle.lock"

// format is the version of the file's format.
const format = 1

// File is a bottle.lock.
type File struct {
	Version  int       `toml:"version"`
	Bases    []Base    `toml:"base"`
	Npm      []Npm     `toml:"npm"`
	Pipelock *Pipelock `toml:"pipelock"`
	Seen     []Seen    `toml:"seen"`
}

// Base is what images are built upon.
type Base struct {
	Platform string   `toml:"platform"` // linux/amd64
	From     string   `toml:"from"`     // "debian bookworm", or a reference without a digest
	Digest   string   `toml:"digest"`   // of the image, or of Packages
	Packages []string `toml:"packages"` // name=version, sorted; of a base of Debian packages
}

// Npm is the pinned version of a tool for a platform.
type Npm struct {
	Tool      string `toml:"tool"`
	Platform  string `toml:"platform"`
	Package   string `toml:"package"`
	Version   string `toml:"version"`
	Integrity string `toml:"integrity"`
}

// Pipelock is the firewall's program that the operator supplies.
type Pipelock struct {
	Version string `toml:"version"`
	SHA256  string `toml:"sha256"`
}

// Seen is a tool of the machine that wrote the lock. It is never enforced.
type Seen struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Digest  string `toml:"digest"` // of the program's or the kernel's file; empty: of none
}

// Packages is the digest of a list of packages, wherever they came from.
func Packages(packages []string) string {
	sum := sha256.Sum256([]byte(strings.Join(packages, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Base finds what a base is pinned to.
func (f File) Base(platform, from string) (Base, bool) {
	i := slices.IndexFunc(f.Bases, func(b Base) bool { return b.Platform == platform && b.From == from })
	if i < 0 {
		return Base{}, false
	}
	return f.Bases[i], true
}

// Tool finds what a tool is pinned to.
func (f File) Tool(tool, platform string) (Npm, bool) {
	i := slices.IndexFunc(f.Npm, func(n Npm) bool { return n.Tool == tool && n.Platform == platform })
	if i < 0 {
		return Npm{}, false
	}
	return f.Npm[i], true
}

// WithBase returns the lock with a base added or replaced.
func (f File) WithBase(base Base) File {
	f.Bases = append(slices.DeleteFunc(slices.Clone(f.Bases), func(b Base) bool {
		return b.Platform == base.Platform && b.From == base.From
	}), base)
	return f
}

// Parse reads a bottle.lock.
func Parse(text []byte) (File, error) {
	var file File
	meta, err := toml.Decode(string(text), &file)
	if err != nil {
		return File{}, fmt.Errorf("reading %s: %w", Name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return File{}, fmt.Errorf("reading %s: unknown field %s", Name, unknown[0])
	}
	if err := file.check(); err != nil {
		return File{}, fmt.Errorf("reading %s: %w", Name, err)
	}
	return file, nil
}

var (
	digestForm    = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hex64         = regexp.MustCompile(`^[0-9a-f]{64}$`)
	integrityForm = regexp.MustCompile(`^sha512-[A-Za-z0-9+/]{86}==$`)
	platformForm  = regexp.MustCompile(`^linux/(amd64|arm64)$`)
	packageForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?=[0-9A-Za-z.+:~-]+$`)
	versionForm   = regexp.MustCompile(`^[0-9][0-9A-Za-z.+~-]*$`)
	plainText     = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
)

// check refuses what could not have been written by Text.
func (f File) check() error {
	if f.Version != format {
		return fmt.Errorf("version %d is not %d", f.Version, format)
	}
	seen := map[string]bool{}
	once := func(what ...string) error {
		name := strings.Join(what, " ")
		if seen[name] {
			return fmt.Errorf("%s is there twice", name)
		}
		seen[name] = true
		return nil
	}
	var problems []error
	for _, base := range f.Bases {
		problems = append(problems, once("base", base.Platform, base.From), base.check())
	}
	for _, npm := range f.Npm {
		problems = append(problems, once("npm", npm.Tool, npm.Platform), npm.check())
	}
	for _, tool := range f.Seen {
		problems = append(problems, once("seen", tool.Name), fits("seen "+tool.Name, []field{
			{"name", tool.Name, plainText}, {"version", cmp.Or(tool.Version, "-"), plainText}, {"digest", cmp.Or(tool.Digest, Packages(nil)), digestForm},
		}))
	}
	if f.Pipelock != nil {
		problems = append(problems, fits("pipelock", []field{
			{"version", f.Pipelock.Version, plainText}, {"sha256", f.Pipelock.SHA256, hex64},
		}))
	}
	return errors.Join(problems...)
}

func (b Base) check() error {
	what := "base " + b.Platform + " " + b.From
	if err := fits(what, []field{{"platform", b.Platform, platformForm}, {"from", b.From, plainText}, {"digest", b.Digest, digestForm}}); err != nil {
		return err
	}
	for _, one := range b.Packages {
		if !packageForm.MatchString(one) {
			return fmt.Errorf("%s: %q is not a package with its version", what, one)
		}
	}
	if len(b.Packages) > 0 && b.Digest != Packages(b.Packages) {
		return fmt.Errorf("%s: the digest is not that of the packages", what)
	}
	return nil
}

func (n Npm) check() error {
	return fits("npm "+n.Tool+" "+n.Platform, []field{
		{"tool", n.Tool, plainText},
		{"platform", n.Platform, platformForm},
		{"package", n.Package, plainText},
		{"version", n.Version, versionForm},
		{"integrity", n.Integrity, integrityForm},
	})
}

// field is a text and the form that it must have.
type field struct {
	name, value string
	form        *regexp.Regexp
}

func fits(what string, fields []field) error {
	for _, f := range fields {
		if !f.form.MatchString(f.value) {
			return fmt.Errorf("%s: %s: %q does not look like one", what, f.name, f.value)
		}
	}
	return nil
}

// sorted returns the lock in the order of its text.
func (f File) sorted() File {
	f.Bases, f.Npm, f.Seen = slices.Clone(f.Bases), slices.Clone(f.Npm), slices.Clone(f.Seen)
	slices.SortFunc(f.Bases, func(a, b Base) int { return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.From, b.From)) })
	slices.SortFunc(f.Npm, func(a, b Npm) int { return cmp.Or(cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.Platform, b.Platform)) })
	slices.SortFunc(f.Seen, func(a, b Seen) int { return cmp.Compare(a.Name, b.Name) })
	return f
}
