// Package imagebuild turns a recipe into a container image without any daemon.
//
// An image is a base and layers of ours. Every layer is named by its inputs, so what
// an image would be is known before anything is built (Plan), a warm build reads a few
// small records, and the same recipe gives the same digest in every directory and at
// every time. The base is chosen once and pinned in base.lock, because what a registry
// or a mirror has changes from day to day and an image must not.
package imagebuild

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// RecipeFile is the name of the recipe in its directory.
const RecipeFile = "image.toml"

// Recipe is a checked image.toml.
type Recipe struct {
	Name       string   // the directory's name: "agent"
	Base       string   // "scratch", "debian", "docker:NAME", "layout:PATH", "archive:PATH" or a registry reference
	Dockerfile string   // what makes docker:NAME, relative to the recipe
	Debian     *Debian  // the base where the registry does not answer
	Roots      string   // where Mozilla's CA certificates go, as one PEM file; empty: nowhere
	Env        []string // "NAME=value", sorted
	Cmd        []string
	Workdir    string
	Users      []User
	Dirs       []Directory
	Files      []Files
	Programs   []Program
	Supplied   []Supplied
	Npm        []Npm

	fsys fs.FS
	dir  string
}

// Debian is a base of Debian packages.
type Debian struct {
	Suite    string // a codename, or "host" for the building host's own
	Packages []string
}

// User is an account and its group of the same name. It replaces an account of the
// base that has its name or number.
type User struct {
	Name  string
	UID   int
	GID   int
	Home  string // made for the user unless it is "/" or "/nonexistent"
	Shell string
}

// Directory is an empty directory.
type Directory struct {
	Path  string
	Mode  int64
	Owner string // a name in Users, or "root"
}

// Files is a directory of the recipe's folder that is copied as it is.
type Files struct {
	From       string
	To         string
	Owner      string
	Executable []string // names below From that get mode 0755; all others get 0644
}

// Program is one of our own static programs.
type Program struct {
	Package string // "./images/bundle"
	To      string
}

// Supplied is somebody else's program, which is in the image only where the operator has
// it and says so.
type Supplied struct {
	Name string
	To   string
}

// Npm is a command line tool that comes as a native program in an npm tarball.
type Npm struct {
	Tool  string
	ByCPU map[string]Tarball // amd64, arm64
}

// Tarball is an npm package. Without a version, and so without an integrity, the builder's
// pins have both.
type Tarball struct {
	Package   string
	Suffix    string // what follows the main version in the version of a platform: "-linux-x64"
	Version   string
	Integrity string
	Files     []string          // unpacked to /opt/TOOL
	Links     map[string]string // /usr/local/bin/NAME to one of Files
}

// Tools lists the tools that can be selected.
func (r *Recipe) Tools() []string {
	var names []string
	for _, tool := range r.Npm {
		names = append(names, tool.Tool)
	}
	return names
}

// LoadRecipe reads and checks dir/image.toml. All problems are reported at once, as
// [*Problems].
func LoadRecipe(fsys fs.FS, dir string) (*Recipe, error) {
	file := path.Join(dir, RecipeFile)
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	recipe := &Recipe{Name: path.Base(dir), fsys: fsys, dir: dir}
	problems := &Problems{}
	top, ok := parse(file, string(text), problems)
	if ok {
		recipe.read(top)
		if len(problems.List) == 0 {
			recipe.check(top)
		}
	}
	if len(problems.List) > 0 {
		slices.SortStableFunc(problems.List, func(a, b Problem) int { return a.Line - b.Line })
		return nil, problems
	}
	return recipe, nil
}

// Problem is one thing wrong in a recipe.
type Problem struct {
	File  string
	Line  int
	Field string
	Text  string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Text)
}

// Problems is everything wrong in a recipe.
type Problems struct{ List []Problem }

func (p *Problems) Error() string {
	var all []string
	for _, problem := range p.List {
		all = append(all, problem.String())
	}
	return strings.Join(all, "\n")
}
