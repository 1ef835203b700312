package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/execx"
)

const (
	// probeFlag and probeAnswer are guest.ProbeFlag and guest.ProbeAnswer.
	probeFlag   = "lite.probe"
	probeAnswer = "lite-probe-ok"

	// ProbeTime is far more than a working KVM needs, and what a broken one costs once.
	ProbeTime = 4 * time.Second
	// KVMDevice is what KVM needs, and what proves nothing.
	KVMDevice = "/dev/kvm"

	probeMem = 256 // MiB

	accelFile = "accel.json"
)

// Prober answers which accelerator works, by booting.
type Prober struct {
	CacheDir  string
	Arch      string
	QEMU      string
	Kernel    Kernel
	Initramfs string
	Device    string        // KVMDevice outside tests
	Limit     time.Duration // ProbeTime outside tests, also when it is 0
}

// answer is cached for as long as its key holds.
type answer struct {
	Key   string `json:"key"`
	Accel Accel  `json:"accel"`
}

// key changes with a reboot of the host, another kernel or another QEMU.
func (p Prober) key() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	kernel, err := fileIdentity(p.Kernel.Image)
	if err != nil {
		return "", fmt.Errorf("reading the kernel: %w", err)
	}
	qemu, err := fileIdentity(p.QEMU)
	if err != nil {
		return "", fmt.Errorf("reading QEMU: %w", err)
	}
	return strings.TrimSpace(string(boot)) + " " + kernel + " " + qemu, nil
}

// Cached returns the answer if there is one, without booting anything.
func (p Prober) Cached() (Accel, bool) {
	key, err := p.key()
	if err != nil {
		return "", false
	}
	data, err := os.ReadFile(filepath.Join(p.CacheDir, accelFile))
	if err != nil {
		return "", false
	}
	var a answer
	if json.Unmarshal(data, &a) != nil || a.Key != key || a.Accel != KVM && a.Accel != TCG {
		return "", false
	}
	return a.Accel, true
}

// Probe returns the cached answer, or boots the guest's kernel with KVM and believes
// nothing but its word on the console: a /dev/kvm that exists and opens may still hang.
func (p Prober) Probe(ctx context.Context) (Accel, error) {
	if accel, ok := p.Cached(); ok {
		return accel, nil
	}
	key, err := p.key()
	if err != nil {
		return "", err
	}
	accel := TCG
	if device, err := os.OpenFile(p.Device, os.O_RDWR, 0); err == nil {
		_ = device.Close()
		works, err := p.boots(ctx)
		if err != nil {
			return "", err
		}
		if works {
			accel = KVM
		}
	}
	data, err := json.Marshal(answer{Key: key, Accel: accel})
	if err != nil {
		return "", fmt.Errorf("keeping the accelerator: %w", err)
	}
	err = writeAtomically(filepath.Join(p.CacheDir, accelFile), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keeping the accelerator: %w", err)
	}
	return accel, nil
}

func (p Prober) boots(ctx context.Context) (bool, error) {
	args, err := Spec{
		Arch: p.Arch, Accel: KVM, Name: "probe", CPUs: 1, MemMiB: probeMem,
		Kernel: p.Kernel.Image, Initramfs: p.Initramfs, Probe: true,
	}.Args()
	if err != nil {
		return false, err
	}
	limit := p.Limit
	if limit == 0 {
		limit = ProbeTime
	}
	probe, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	console := &watcher{want: probeAnswer, seen: cancel}
	// The answer ends QEMU through cancel, so how it ended says nothing.
	runErr := execx.Run(probe, execx.Cmd{
		Path: p.QEMU, Args: args, Stdout: console, Grace: 100 * time.Millisecond, DieWithUs: true,
		Env: []string{"PATH=/usr/bin:/bin"},
	})
	if ctx.Err() != nil {
		return false, fmt.Errorf("probing KVM: %w", errors.Join(context.Cause(ctx), runErr))
	}
	return console.found(), nil
}

// watcher looks for a text in what is written to it, and keeps no more than it needs.
type watcher struct {
	want string
	seen func()

	mu   sync.Mutex
	tail string
	ok   bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.tail + string(p)
	if !w.ok && strings.Contains(text, w.want) {
		w.ok = true
		w.seen()
	}
	w.tail = text[max(0, len(text)-len(w.want)):]
	return len(p), nil
}

func (w *watcher) found() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ok
}
