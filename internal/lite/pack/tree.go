package pack

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"
)

// node is a file of the flattened image. Two names of one node are hard links.
type node struct {
	header   *tar.Header
	children map[string]*node // of a directory
	offset   int64            // of a regular file's content in the spool
}

func newDir() *node {
	return &node{
		header:   &tar.Header{Typeflag: tar.TypeDir, Mode: 0o755},
		children: map[string]*node{},
	}
}

// tree is what the layers so far amount to.
type tree struct{ root *node }

const (
	whiteout       = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	maxSymlinks    = 40
)

var errTooManyLinks = errors.New("too many symbolic links")

// split cleans a name of a layer; "" is the root itself. No name leaves the root.
func split(name string) (dir, base string) {
	dir, base = path.Split(path.Clean("/" + name))
	return dir, base
}

// dir finds the directory at name and makes what is missing. As in a running system,
// symbolic links on the way are followed, within the image.
func (t *tree) dir(name string) (*node, error) {
	links := 0
	current, visited := t.root, []*node{}
	parts := strings.Split(path.Clean("/"+name), "/")
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(visited) > 0 {
				current, visited = visited[len(visited)-1], visited[:len(visited)-1]
			}
			continue
		}
		child := current.children[part]
		if child != nil && child.header.Typeflag == tar.TypeSymlink {
			if links++; links > maxSymlinks {
				return nil, fmt.Errorf("%s: %w", name, errTooManyLinks)
			}
			target := child.header.Linkname
			if path.IsAbs(target) {
				current, visited = t.root, nil
			}
			parts = append(strings.Split(target, "/"), parts...)
			continue
		}
		if child == nil || child.children == nil {
			child = newDir() // a file in the way is replaced, as an unpacking engine does
			current.children[part] = child
		}
		current, visited = child, append(visited, current)
	}
	return current, nil
}

// layer applies one layer's entries. A whiteout hides what lower layers brought, never
// what this layer brings, whatever their order in the archive.
type layer struct {
	tree *tree
	mine map[entry]bool
}

// entry is a name in a directory. Nodes would not do: a hard link gives a node of a
// lower layer a name of this one.
type entry struct {
	parent *node
	base   string
}

func (t *tree) newLayer() *layer { return &layer{tree: t, mine: map[entry]bool{}} }

func (l *layer) add(header *tar.Header, offset int64) error {
	dirName, base := split(header.Name)
	if base == "" {
		if header.Typeflag == tar.TypeDir {
			l.tree.root.header = header
		}
		return nil
	}
	parent, err := l.tree.dir(dirName)
	if err != nil {
		return err
	}
	switch {
	case base == opaqueWhiteout:
		l.hideChildren(parent)
		return nil
	case strings.HasPrefix(base, whiteout):
		l.hide(entry{parent, strings.TrimPrefix(base, whiteout)})
		return nil
	}
	l.mine[entry{parent, base}] = true
	return l.put(parent, base, header, offset)
}

func (l *layer) put(parent *node, base string, header *tar.Header, offset int64) error {
	switch header.Typeflag {
	case tar.TypeDir:
		dir := parent.children[base]
		if dir == nil || dir.children == nil {
			dir = newDir()
			parent.children[base] = dir
		}
		dir.header = header
	case tar.TypeLink:
		target, err := l.find(header.Linkname)
		if err != nil {
			return fmt.Errorf("hard link %s: %w", header.Name, err)
		}
		parent.children[base] = target
	case tar.TypeReg, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		parent.children[base] = &node{header: header, offset: offset}
	default:
		return fmt.Errorf("%s: unknown type %q in a layer", header.Name, header.Typeflag)
	}
	return nil
}

func (l *layer) find(name string) (*node, error) {
	dirName, base := split(name)
	parent, err := l.tree.dir(dirName)
	if err != nil {
		return nil, err
	}
	target := parent.children[base]
	if target == nil || target.children != nil {
		return nil, fmt.Errorf("its target %s does not exist or is a directory", name)
	}
	return target, nil
}

// hide removes a name, but keeps what this layer put there.
func (l *layer) hide(e entry) {
	child := e.parent.children[e.base]
	switch {
	case child == nil:
	case child.children != nil && l.owns(e):
		l.hideChildren(child)
	case !l.mine[e]:
		delete(e.parent.children, e.base)
	}
}

func (l *layer) hideChildren(parent *node) {
	for base := range parent.children {
		l.hide(entry{parent, base})
	}
}

// owns is true for a name that this layer brought, itself or below.
func (l *layer) owns(e entry) bool {
	if l.mine[e] {
		return true
	}
	child := e.parent.children[e.base]
	for base := range child.children {
		if l.owns(entry{child, base}) {
			return true
		}
	}
	return false
}
