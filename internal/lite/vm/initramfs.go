package vm

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Initramfs returns the path of the archive with init as /init and the modules that
// kernel needs. It is made once per kernel and init, and kept in cacheDir.
func Initramfs(cacheDir string, kernel Kernel, init string) (string, error) {
	program, err := os.ReadFile(init)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no guest init program at %s\n"+
			"  lite-init must lie beside smolvm-lite, or SMOLVM_LITE_INIT must name it\n"+
			"  to set it up, run: go tool mage setup", init)
	}
	if err != nil {
		return "", fmt.Errorf("reading the guest's init: %w", err)
	}
	identity, err := fileIdentity(kernel.Image)
	if err != nil {
		return "", fmt.Errorf("reading the kernel: %w", err)
	}
	key := sha256.New()
	fmt.Fprintf(key, "1\n%s\n%s\n", identity, kernel.Modules)
	key.Write(program)
	path := filepath.Join(cacheDir, fmt.Sprintf("initramfs-%.24x.cpio", key.Sum(nil)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	modules, err := loadOrder(kernel.Modules)
	if err != nil {
		return "", err
	}
	err = writeAtomically(path, func(w io.Writer) error { return writeInitramfs(w, program, modules) })
	if err != nil {
		return "", fmt.Errorf("writing the initramfs: %w", err)
	}
	return path, nil
}

// fileIdentity changes whenever somebody replaces the file.
func fileIdentity(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()), nil
}

func writeAtomically(path string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		_ = temp.Close()
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	buffered := bufio.NewWriterSize(temp, 1<<20)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func writeInitramfs(w io.Writer, init []byte, modules []module) error {
	archive := &cpioWriter{w: w}
	archive.add("modules", cpioDir|0o755, nil)
	archive.add("init", cpioFile|0o755, init)
	for i, m := range modules {
		// The guest loads in the order of the names.
		archive.add(fmt.Sprintf("modules/%02d-%s.ko", i, m.name), cpioFile|0o644, m.data)
	}
	return archive.finish()
}

const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
)

// cpioWriter writes the "newc" format, the only one that the kernel unpacks. Same
// entries, same bytes: no times, no owners.
type cpioWriter struct {
	w     io.Writer
	inode int
	err   error
}

func (c *cpioWriter) add(name string, mode int, data []byte) {
	c.inode++
	c.entry(name, mode, data)
}

func (c *cpioWriter) entry(name string, mode int, data []byte) {
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	c.write([]byte(header))
	c.pad(len(header))
	c.write(data)
	c.pad(len(data))
}

func (c *cpioWriter) write(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
	}
}

func (c *cpioWriter) pad(n int) { c.write(make([]byte, (4-n%4)%4)) }

func (c *cpioWriter) finish() error {
	c.inode = 0
	c.entry("TRAILER!!!", 0, nil)
	return c.err
}
