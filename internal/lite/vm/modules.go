package vm

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxModule bounds a decompressed module.
const maxModule = 64 << 20

// wantedModules are needed to reach the image; one that is built in is skipped.
func wantedModules() (required, optional []string) {
	return []string{"virtio_pci", "virtio_blk", "virtio_console", "ext4", "overlay"},
		// ext4 checksums ask for crc32c at mount time, without a dependency of the module.
		[]string{"crc32c_generic", "crc32c_intel", "crc32c_arm64"}
}

// module is a decompressed kernel module.
type module struct {
	name string
	data []byte
}

// loadOrder returns the wanted modules and all they depend on, dependencies first.
// It reads .modinfo itself: an unpacked package has no modules.dep, depmod writes it.
func loadOrder(dir string) ([]module, error) {
	files, err := moduleFiles(dir)
	if err != nil {
		return nil, err
	}
	builtin, err := builtinModules(dir)
	if err != nil {
		return nil, err
	}
	walk := &moduleWalk{files: files, builtin: builtin, seen: map[string]bool{}}
	required, optional := wantedModules()
	for _, name := range optional {
		if files[name] != "" {
			required = append([]string{name}, required...)
		}
	}
	for _, name := range required {
		if err := walk.add(name); err != nil {
			return nil, err
		}
	}
	return walk.order, nil
}

type moduleWalk struct {
	files   map[string]string
	builtin map[string]bool
	seen    map[string]bool
	order   []module
}

func (w *moduleWalk) add(name string) error {
	name = moduleName(name)
	if w.seen[name] || w.builtin[name] {
		return nil
	}
	w.seen[name] = true
	path := w.files[name]
	if path == "" {
		return fmt.Errorf("kernel module %s is neither built in nor in the package", name)
	}
	data, err := readModule(path)
	if err != nil {
		return fmt.Errorf("reading kernel module %s: %w", name, err)
	}
	depends, err := moduleDepends(data)
	if err != nil {
		return fmt.Errorf("reading kernel module %s: %w", name, err)
	}
	for _, dependency := range depends {
		if err := w.add(dependency); err != nil {
			return err
		}
	}
	w.order = append(w.order, module{name: name, data: data})
	return nil
}

// moduleName is the kernel's own spelling: file names mix - and _.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.Contains(entry.Name(), ".ko") {
			files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing kernel modules: %w", err)
	}
	return files, nil
}

func builtinModules(dir string) (map[string]bool, error) {
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing built-in kernel modules: %w", err)
	}
	builtin := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return builtin, nil
}

func readModule(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var unpacked io.Reader
	switch filepath.Ext(path) {
	case ".ko":
		return data, nil
	case ".xz":
		unpacked, err = xz.NewReader(bytes.NewReader(data))
	case ".gz":
		unpacked, err = gzip.NewReader(bytes.NewReader(data))
	case ".zst":
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer decoder.Close()
		}
		unpacked = decoder
	default:
		return nil, fmt.Errorf("unknown compression %s", filepath.Ext(path))
	}
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(unpacked, maxModule+1))
	if err == nil && len(data) > maxModule {
		err = fmt.Errorf("it is larger than %d bytes", maxModule)
	}
	return data, err
}

// moduleDepends reads depends= of the .modinfo section, a list of NUL-ended strings.
func moduleDepends(data []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
