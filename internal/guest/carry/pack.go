package carry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/walk"
	"bottle.internal/internal/workspace/wire"
)

// maxSkipped bounds what Pack says of what it does not send.
const maxSkipped = 1000

// Pack sends what differs from the base that the host sends: changed and new files, and the
// names of those that are gone. What .gitignore excludes is looked at only if the base has it.
func (p Place) Pack(in io.Reader, out io.Writer) error {
	head, base, err := readRequest(in)
	if err != nil {
		return err
	}
	// A machine that was made anew has none of the base's files: they are not deleted.
	if mark, err := os.ReadFile(p.Mark); head.ID != "" && (err != nil || string(mark) != head.ID) {
		return errors.New("this machine is not the one that the workspace was copied into")
	}
	root, err := os.OpenRoot(head.Workdir)
	if err != nil {
		return fmt.Errorf("opening the working directory: %w", err)
	}
	defer root.Close()
	paths, skipped, err := walk.Walk(root, workspace.DefaultLimits().Files*10)
	if err != nil {
		return err
	}
	paths = append(paths, base.Paths()...)
	slices.Sort(paths)
	stream, err := wire.NewWriter(out, wire.Packed{Format: wire.Format})
	if err != nil {
		return err
	}
	k := &packer{root: root, base: base, out: stream, dirs: map[string]bool{".": true}}
	for _, name := range slices.Compact(paths) {
		if err := k.path(name); err != nil {
			return fmt.Errorf("%s: %w", workspace.Name(name).Show(), err)
		}
	}
	skipped = slices.DeleteFunc(skipped, func(e workspace.Excluded) bool { _, seen := base[string(e.Path)]; return seen })
	for _, excluded := range skipped[:min(len(skipped), maxSkipped)] {
		if err := stream.Skipped(string(excluded.Path), excluded.Why); err != nil {
			return err
		}
	}
	return stream.Close()
}

func readRequest(in io.Reader) (head wire.Pack, base workspace.Base, err error) {
	request := wire.NewReader(in, unpackLimits())
	if err := request.Head(&head); err != nil {
		return head, nil, err
	}
	record, err := request.Next()
	if err != nil {
		return head, nil, err
	}
	if record.Kind != wire.Base {
		return head, nil, errors.New("the host sent no base")
	}
	if base, err = workspace.ReadBase(record.Content, unpackLimits().Files); err != nil {
		return head, nil, err
	}
	if _, err := request.Next(); !errors.Is(err, io.EOF) {
		return head, nil, fmt.Errorf("reading the request's end: %w", err)
	}
	return head, base, nil
}

type packer struct {
	root *os.Root
	base workspace.Base
	out  *wire.Writer
	dirs map[string]bool // whether a path is a directory and no link to one
}

func (k *packer) path(name string) error {
	before, known := k.base[name]
	info, err := k.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.IsDir():
		if known {
			return k.out.Gone(name)
		}
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := k.root.Readlink(name)
		if err != nil || before == (workspace.State{Kind: workspace.Link, Target: workspace.Name(target)}) {
			return err
		}
		return k.out.Link(name, target)
	case info.Mode().IsRegular():
		return k.file(name, before)
	}
	return k.out.Skipped(name, "neither a file nor a link")
}

func (k *packer) file(name string, before workspace.State) error {
	file, err := k.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it changed while it was read")
	}
	exec, size := workspace.IsExec(info.Mode()), info.Size()
	if before.Kind == workspace.File && before.Exec == exec && before.Size == size {
		sum := sha256.New()
		if _, err := io.Copy(sum, file); err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) == before.Sum {
			return nil
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return k.out.File(name, exec, size, io.LimitReader(file, size))
}

// lstat is [os.Root.Lstat], which would go through a link to a directory.
func (k *packer) lstat(name string) (fs.FileInfo, error) {
	if !k.isDir(path.Dir(name)) {
		return nil, fs.ErrNotExist
	}
	return k.root.Lstat(name)
}

func (k *packer) isDir(dir string) bool {
	known, ok := k.dirs[dir]
	if !ok {
		info, err := k.root.Lstat(dir)
		known = err == nil && info.IsDir() && k.isDir(path.Dir(dir))
		k.dirs[dir] = known
	}
	return known
}
