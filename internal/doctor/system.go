package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/execx"
)

// runner runs programs on this machine.
type runner struct{ env []string }

// find also looks where administrators' programs are: an ordinary PATH on Debian does
// not name those directories.
func (r runner) find(name string) (string, error) {
	path, err := execx.Find(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", err
}

// run returns what the program printed on both streams.
func (r runner) run(ctx context.Context, command Command) ([]byte, error) {
	path, err := r.find(command.Args[0])
	if err != nil {
		return nil, err
	}
	printed := &both{copyTo: command.Output}
	err = execx.Run(ctx, execx.Cmd{
		Path: path, Args: command.Args[1:], Env: r.env, Dir: command.Dir, Stdout: printed, Stderr: printed,
	})
	return printed.output.Bytes(), err
}

// both collects what a program prints on its two streams.
type both struct {
	mu     sync.Mutex
	output bytes.Buffer
	copyTo io.Writer // may be nil
}

func (b *both) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.output.Write(p)
	if b.copyTo != nil {
		return b.copyTo.Write(p)
	}
	return len(p), nil
}

func (r runner) start(args []string, log *os.File) error {
	path, err := r.find(args[0])
	if err != nil {
		return err
	}
	_, err = execx.StartDetached(execx.Cmd{Path: path, Args: args[1:], Env: r.env, Dir: "/"}, log)
	return err
}

// freeBytes looks at the nearest directory that exists.
func freeBytes(dir string) (uint64, error) {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(dir, &stat)
		if err == nil {
			return uint64(stat.Bavail) * uint64(stat.Bsize), nil //nolint:unconvert // the types differ between systems
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return 0, fmt.Errorf("looking at the space of %s: %w", dir, err)
		}
		dir = parent
	}
}
