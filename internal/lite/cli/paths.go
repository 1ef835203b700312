//go:build linux

package cli

import (
	"errors"
	"path/filepath"

	"bottle.internal/internal/lite/vm"
)

// paths are the only places that smolvm-lite reads and writes.
type paths struct {
	machines string // one directory per machine
	cache    string // initramfs, accelerator
	kernel   string // unpacked kernel package
	init     string // the guest's first program
}

func (a *App) paths() (paths, error) {
	data, err := a.xdg("XDG_DATA_HOME", ".local/share")
	if err != nil {
		return paths{}, err
	}
	cache, err := a.xdg("XDG_CACHE_HOME", ".cache")
	if err != nil {
		return paths{}, err
	}
	p := paths{
		machines: filepath.Join(data, "machines"), cache: cache,
		kernel: filepath.Join(data, "kernel"), init: filepath.Join(filepath.Dir(a.Self), "lite-init"),
	}
	if dir := a.Getenv("SMOLVM_LITE_KERNEL"); dir != "" {
		p.kernel = dir
	}
	if file := a.Getenv("SMOLVM_LITE_INIT"); file != "" {
		p.init = file
	}
	for _, path := range []*string{&p.machines, &p.cache, &p.kernel, &p.init} {
		if *path, err = filepath.Abs(*path); err != nil {
			return paths{}, err
		}
	}
	return p, nil
}

// xdg ignores a relative path, as the XDG specification demands.
func (a *App) xdg(variable, fallback string) (string, error) {
	if base := a.Getenv(variable); filepath.IsAbs(base) {
		return filepath.Join(base, "smolvm-lite"), nil
	}
	home := a.Getenv("HOME")
	if home == "" {
		return "", errors.New("neither HOME nor " + variable + " is set")
	}
	return filepath.Join(home, fallback, "smolvm-lite"), nil
}

// prober knows the accelerator, once the initramfs is known too.
func (a *App) prober() (vm.Prober, error) {
	p, err := a.paths()
	if err != nil {
		return vm.Prober{}, err
	}
	kernel, err := vm.FindKernel(p.kernel)
	if err != nil {
		return vm.Prober{}, err
	}
	qemu, err := vm.FindQEMU(goarch)
	if err != nil {
		return vm.Prober{}, err
	}
	return vm.Prober{CacheDir: p.cache, Arch: goarch, QEMU: qemu, Kernel: kernel, Device: vm.KVMDevice}, nil
}
