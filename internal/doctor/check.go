package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	minGo       = 26       // 1.26
	minDisk     = 2 << 30  // bottles refuse to start below, see [MinFree]
	comfortDisk = 10 << 30 // the first build of a big agent fits
)

// Check looks at everything that bottles need on this machine. It changes nothing.
func Check(ctx context.Context, o Options) []Item {
	o = o.withDefaults()
	s := o.System
	program := func(item, name, flag string) func() Item {
		return func() Item { return checkProgram(ctx, s, item, name, flag) }
	}
	checks := []func() Item{
		func() Item { return checkGo(ctx, s) },
		program(Git, "git", "--version"),
		func() Item { return checkDocker(ctx, s) },
	}
	if s.GOOS == "linux" {
		checks = append(checks,
			program(QEMU, s.qemu(), "--version"),
			program(MkfsExt4, "mkfs.ext4", "-V"),
			func() Item { return checkKernel(o.KernelDir) },
			program(Mmdebstrap, "mmdebstrap", "--version"),
			program(Iproute, "ip", "-V"),
			func() Item { return checkCACerts(s) },
			func() Item { return checkKVM(s) },
		)
	}
	checks = append(checks, func() Item { return checkDisk(o) }, func() Item { return checkSmolvm(ctx, o) })

	var platform Platform
	items := make([]Item, len(checks))
	var all sync.WaitGroup // each run begins with Check: it should not take long
	all.Go(func() { platform = Detect(ctx, o) })
	for i, check := range checks {
		all.Go(func() { items[i] = check() })
	}
	all.Wait()
	judge(items, s.GOOS)
	items[0].Optional = o.Prebuilt // Go
	for i := range items {
		items[i].Fix = fixes(items[i], platform)
	}
	return items
}

// judge decides what can be done without. smolvm comes last.
func judge(items []Item, goos string) {
	smolvm := &items[len(items)-1]
	smolvm.Optional = goos == "linux" && smolvm.Status == Missing
	genuine := smolvm.Status == OK && !strings.Contains(filepath.Base(smolvm.Detail), "smolvm-lite")
	for i := range items {
		switch items[i].Name {
		case QEMU, MkfsExt4, Kernel: // only smolvm-lite needs them
			items[i].Optional = genuine
		}
	}
}

var versionPattern = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// checkProgram runs a program to see its version: one that cannot start is broken.
func checkProgram(ctx context.Context, s *System, item, name, flag string) Item {
	path, err := s.Find(name)
	if err != nil {
		return Item{Name: item, Status: Missing, Detail: name + " is not on PATH"}
	}
	output, err := s.Run(ctx, Command{Args: []string{path, flag}})
	if err != nil {
		return Item{Name: item, Status: Broken, Detail: err.Error()}
	}
	return Item{Name: item, Status: OK, Version: versionPattern.FindString(string(output)), Detail: path}
}

func checkGo(ctx context.Context, s *System) Item {
	item := checkProgram(ctx, s, Go, "go", "version")
	if item.Status != OK {
		return item
	}
	parts := strings.SplitN(item.Version, ".", 3)
	if minor, err := strconv.Atoi(parts[min(1, len(parts)-1)]); parts[0] != "1" || err != nil || minor < minGo {
		item.Status, item.Detail = Broken, fmt.Sprintf("Go 1.%d or newer is needed", minGo)
	}
	return item
}

func checkDocker(ctx context.Context, s *System) Item {
	version, err := s.Engine(ctx)
	if err == nil {
		return Item{Name: Docker, Status: OK, Version: version, Detail: "the engine answers"}
	}
	if denied(err) {
		return Item{Name: Docker, Status: Broken, Cause: NoPermission, Detail: "this user may not talk to the Docker Engine"}
	}
	installed := "dockerd"
	if s.GOOS != "linux" {
		installed = "docker"
	}
	if _, findErr := s.Find(installed); findErr != nil {
		return Item{Name: Docker, Status: Missing, Detail: "no Docker Engine"}
	}
	return Item{Name: Docker, Status: Broken, Cause: NotRunning, Detail: "the Docker Engine does not answer"}
}

// denied reports whether the engine is there but not for this user.
func denied(err error) bool {
	return errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied")
}

// checkSmolvm finds the VM tool.
func checkSmolvm(ctx context.Context, o Options) Item {
	chosen := o.lookup("BOTTLE_SMOLVM")
	name := "smolvm"
	if chosen != "" {
		name = chosen
	}
	item := checkProgram(ctx, o.System, Smolvm, name, "--version")
	switch {
	case item.Status == Missing && chosen != "":
		item.Status, item.Detail = Broken, fmt.Sprintf("BOTTLE_SMOLVM names %q, which is no program", chosen)
	case item.Status == Missing && o.System.GOOS == "linux":
		item.Detail = "not installed: smolvm-lite takes its place"
	}
	return item
}

func checkCACerts(s *System) Item {
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	for _, name := range []string{bundle, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"} {
		if s.exists(name) {
			return Item{Name: CACerts, Status: OK, Detail: name}
		}
	}
	return Item{Name: CACerts, Status: Missing, Detail: bundle + " does not exist"}
}

// checkKVM never fails: whether KVM works shows only when a machine boots with it.
func checkKVM(s *System) Item {
	item := Item{Name: KVM, Status: OK, Optional: true, Detail: "/dev/kvm is there; smolvm-lite uses it if a probe boots"}
	if !s.exists("/dev/kvm") {
		item.Status, item.Detail = Missing, "no /dev/kvm: machines are emulated, which is slower"
	}
	return item
}

func checkDisk(o Options) Item {
	free, err := o.System.Free(o.DataDir)
	if err != nil {
		return Item{Name: Disk, Status: Broken, Detail: err.Error()}
	}
	item := Item{Name: Disk, Status: OK, Detail: fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), o.DataDir)}
	switch {
	case free < minDisk:
		item.Status = Broken
		item.Detail += fmt.Sprintf(", %d GiB are needed", minDisk>>30)
	case free < comfortDisk:
		item.Detail += fmt.Sprintf(", less than %d GiB is tight", comfortDisk>>30)
	}
	return item
}

// checkKernel looks for an unpacked kernel package.
func checkKernel(dir string) Item {
	release, err := kernelRelease(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Item{Name: Kernel, Status: Missing, Detail: "no guest kernel in " + dir}
	case err != nil:
		return Item{Name: Kernel, Status: Broken, Detail: err.Error()}
	}
	return Item{Name: Kernel, Status: OK, Version: release, Detail: dir}
}

// kernelRelease is the newest release that has both its image and its modules.
func kernelRelease(dir string) (string, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return "", fmt.Errorf("a kernel in %s: %w", dir, fs.ErrNotExist)
	}
	slices.SortFunc(images, func(a, b string) int { return compareReleases(b, a) })
	for _, image := range images {
		release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		if info, err := os.Stat(filepath.Join(dir, "lib", "modules", release)); err == nil && info.IsDir() {
			return release, nil
		}
	}
	return "", fmt.Errorf("%s has no modules in %s", filepath.Base(images[0]), filepath.Join(dir, "lib", "modules"))
}

var number = regexp.MustCompile(`\d+|\D+`)

// compareReleases orders 6.1.0-9 before 6.1.0-53.
func compareReleases(a, b string) int {
	left, right := number.FindAllString(a, -1), number.FindAllString(b, -1)
	return slices.CompareFunc(left, right, func(a, b string) int {
		m, errM := strconv.Atoi(a)
		n, errN := strconv.Atoi(b)
		if errM == nil && errN == nil {
			return m - n
		}
		return strings.Compare(a, b)
	})
}
