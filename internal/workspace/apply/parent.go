package apply

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
)

// parent opens the directory of a path. With made, missing ones are created and told to it.
func (j *job) parent(name string, made func(dir string) error) (dir *os.Root, base string, err error) {
	if err := pathcheck.Check(name); err != nil {
		return nil, "", err
	}
	dir, base = j.root, name
	for depth := 0; ; {
		first, rest, more := strings.Cut(base, "/")
		if !more {
			return dir, base, nil
		}
		depth += len(first) + 1
		next, err := workspace.Enter(dir, first)
		if errors.Is(err, fs.ErrNotExist) && made != nil {
			if err = made(name[:depth-1]); err == nil {
				if err = dir.Mkdir(first, 0o777); err == nil {
					next, err = workspace.Enter(dir, first)
				}
			}
		}
		j.leave(dir)
		if err != nil {
			return nil, "", err
		}
		dir, base = next, rest
	}
}

// leave closes what parent has opened.
func (j *job) leave(dir *os.Root) {
	if dir != j.root {
		_ = dir.Close()
	}
}
