// Package pathcheck judges paths that a guest chose, before anything touches a disk.
//
// A path is refused or taken, never cleaned: what is written is what was judged. Names are
// compared as the file systems of Linux, macOS and Windows would, because a directory moves
// between them: what is `.git` on any of them is `.git` here.
package pathcheck

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"bottle.internal/internal/workspace"
)

// The longest names that are taken: what the file systems take.
const (
	MaxPath      = 4095
	MaxComponent = 255
)

// Check judges a path's form: relative, canonical, and nothing of git's or of ours in it.
func Check(name string) error {
	switch {
	case name == "":
		return errors.New("an empty path")
	case len(name) > MaxPath:
		return fmt.Errorf("a path of %d bytes", len(name))
	case strings.Contains(name, "\x00"):
		return errors.New("a zero byte in a path")
	}
	for component := range strings.SplitSeq(name, "/") {
		switch {
		case component == "":
			return errors.New("an absolute path, or an empty component")
		case component == "." || component == "..":
			return errors.New("a dot component")
		case len(component) > MaxComponent:
			return fmt.Errorf("a component of %d bytes", len(component))
		}
		if err := reserved(component); err != nil {
			return err
		}
	}
	return nil
}

// shortGit reports whether a name is what Windows calls .git where it gives eight
// characters. No regular expression: bottle-guest would compile it at every start.
func shortGit(name string) bool {
	number, ok := strings.CutPrefix(name, "git~")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// reserved refuses a component that some file system takes for .git or for ApplyDir. A
// backslash separates on one of them, and a colon begins a stream's name.
func reserved(component string) error {
	for part := range strings.SplitSeq(component, `\`) {
		part, _, _ = strings.Cut(part, ":")
		switch folded := strings.TrimRight(Fold(part), ". "); {
		case folded == ".git" || shortGit(folded):
			return errors.New("git's own directory")
		case folded == workspace.ApplyDir:
			return errors.New("copy-out's own directory")
		}
	}
	return nil
}

// Fold returns what two names have in common that one file system takes for the same:
// without regard to case, to Unicode's composition, and to what HFS+ ignores.
func Fold(name string) string {
	if ascii(name) {
		return strings.ToLower(name)
	}
	name = strings.Map(func(r rune) rune {
		if ignorable(r) {
			return -1
		}
		return r
	}, keepBad(name))
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(name)))
}

// keepBad spells bytes that are no UTF-8, which Map would make all the same.
func keepBad(name string) string {
	if strings.ToValidUTF8(name, "") == name {
		return name
	}
	return fmt.Sprintf("%q", name)
}

func ascii(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ignorable are the code points that HFS+ leaves out of a comparison.
func ignorable(r rune) bool {
	return r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x206a && r <= 0x206f || r == 0xfeff
}

// CheckLink judges a symbolic link: it stays inside, and it leads nowhere that Check would
// refuse. A target that goes down and up again is refused: the way down may be a link.
func CheckLink(name, target string) error {
	switch {
	case target == "":
		return errors.New("a link to nothing")
	case len(target) > MaxPath || strings.Contains(target, "\x00"):
		return errors.New("a target that no file system takes")
	case path.IsAbs(target):
		return errors.New("a link to an absolute path")
	}
	depth, down := strings.Count(name, "/"), false
	for component := range strings.SplitSeq(target, "/") {
		switch component {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return errors.New("a link that leads out of the directory")
			}
		default:
			down = true
			if err := reserved(component); err != nil {
				return fmt.Errorf("a link into %w", err)
			}
		}
	}
	return nil
}

// Tree finds paths that cannot be beside each other.
type Tree struct {
	names map[string]string // by folded path, of files and of directories
	files map[string]bool   // paths of files and links
}

// NewTree makes an empty tree.
func NewTree() *Tree { return &Tree{names: map[string]string{}, files: map[string]bool{}} }

// Add puts a path of a file or link into the tree, unless something there excludes it.
func (t *Tree) Add(name string) error {
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		prefix := name[:i]
		if i < len(name) && t.files[prefix] {
			return fmt.Errorf("%s is a file, and a directory too", workspace.Name(prefix).Show())
		}
		if other, ok := t.names[foldPath(prefix)]; ok && other != prefix {
			return fmt.Errorf("%s is the same name on some file systems", workspace.Name(other).Show())
		}
	}
	if other, ok := t.names[foldPath(name)]; ok && !t.files[other] {
		return fmt.Errorf("%s is a directory, and a file too", workspace.Name(other).Show())
	}
	t.put(name)
	return nil
}

// Keep puts a path in that is there already, whatever is beside it.
func (t *Tree) Keep(name string) { t.put(name) }

func (t *Tree) put(name string) {
	t.files[name] = true
	for dir := name; dir != "."; dir = path.Dir(dir) {
		folded := foldPath(dir)
		if _, ok := t.names[folded]; ok && dir != name {
			return
		}
		t.names[folded] = dir
	}
}

func foldPath(name string) string {
	if ascii(name) {
		return strings.ToLower(name)
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = Fold(part)
	}
	return strings.Join(parts, "/")
}

// BareRepository returns the directory that makes a path part of a git repository without
// .git, if there is one: a program that looks for a repository would find it and run what
// its configuration says. has answers for the tree with the path in it.
func BareRepository(name string, has func(folded string) bool) (dir string, found bool) {
	folded := foldPath(name)
	for dir = path.Dir(folded); ; dir = path.Dir(dir) {
		at := func(part string) bool { return has(path.Join(dir, part)) }
		if at("head") && (at("objects") || at("refs") || at("packed-refs") || at("commondir")) {
			rest := strings.TrimPrefix(folded, dir+"/")
			first, _, _ := strings.Cut(rest, "/")
			switch first {
			case "head", "objects", "refs", "packed-refs", "commondir", "config", "config.worktree", "hooks", "info":
				return dir, true
			}
		}
		if dir == "." {
			return "", false
		}
	}
}

// Has reports whether a file or directory is in the tree under a folded path.
func (t *Tree) Has(folded string) bool {
	_, ok := t.names[folded]
	return ok
}
