// Package vm turns a kernel package, an image and a machine's settings into a QEMU
// command line, and finds out which accelerator works.
//
// It downloads nothing. No command line it makes has a network device.
package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	Image   string // boot/vmlinuz-RELEASE
	Modules string // lib/modules/RELEASE
	Release string
}

// MissingKernelError says where the kernel was looked for and how to get one.
type MissingKernelError struct {
	Dir    string
	Reason string
}

func (e *MissingKernelError) Error() string {
	return fmt.Sprintf("no guest kernel: %s\n"+
		"  looked in %s (SMOLVM_LITE_KERNEL, else smolvm-lite/kernel in the data directory)\n"+
		"  it must hold boot/vmlinuz-RELEASE and lib/modules/RELEASE of an unpacked kernel package\n"+
		"  to set it up, run: go tool mage setup", e.Reason, e.Dir)
}

// FindKernel looks for the newest complete kernel in dir.
func FindKernel(dir string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(globQuote(dir), "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, fmt.Errorf("looking for a kernel: %w", err)
	}
	best, reason := Kernel{}, "there is no boot/vmlinuz-*"
	for _, image := range images {
		release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		modules, err := findModules(dir, release)
		if err != nil {
			reason = err.Error()
			continue
		}
		if best.Release == "" || olderRelease(best.Release, release) {
			best = Kernel{Image: image, Modules: modules, Release: release}
		}
	}
	if best.Release == "" {
		return Kernel{}, &MissingKernelError{Dir: dir, Reason: reason}
	}
	return best, nil
}

func findModules(dir, release string) (string, error) {
	for _, base := range []string{"lib/modules", "usr/lib/modules"} {
		path := filepath.Join(dir, base, release)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("there is no lib/modules/" + release)
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// olderRelease compares as people do: 6.1.0-9 is older than 6.1.0-56.
func olderRelease(a, b string) bool {
	for a != "" && b != "" {
		var partA, partB string
		partA, a = cutPart(a)
		partB, b = cutPart(b)
		if partA == partB {
			continue
		}
		if digit(partA[0]) && digit(partB[0]) {
			partA, partB = strings.TrimLeft(partA, "0"), strings.TrimLeft(partB, "0")
			if len(partA) != len(partB) {
				return len(partA) < len(partB)
			}
		}
		return partA < partB
	}
	return len(a) < len(b)
}

// cutPart splits off the longest run of only digits or only other characters.
func cutPart(s string) (part, rest string) {
	end := 1
	for end < len(s) && digit(s[end]) == digit(s[0]) {
		end++
	}
	return s[:end], s[end:]
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
