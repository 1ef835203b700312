//go:build linux

package guest

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFiles is the limit that a container engine would give, too.
const openFiles = 1 << 20

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return fmt.Errorf("mounting %s: %w", m.target, err)
	}
	if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s (%s): %w", m.target, m.kind, err)
	}
	return nil
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

// earlyMounts makes the initramfs usable, and the console our standard streams.
func earlyMounts() error {
	err := mountAll([]mount{
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"},
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
	})
	if err != nil {
		return err
	}
	console, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("opening the console: %w", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(console, fd, 0); err != nil && console != fd {
			return fmt.Errorf("opening the console: %w", err)
		}
	}
	return nil
}

// readAhead is how much of a file is read at once, in KiB. The kernel's 128 make the first
// start of a program of 5 MB take twice as long: each request costs more than its bytes.
const readAhead = "1024"

// enterRoot lays the machine's writable disk over the image's and makes the result /.
// An initramfs cannot be pivoted away from: the new root is moved over it.
func enterRoot() error {
	for _, disk := range []string{"vda", "vdb"} {
		if err := os.WriteFile("/sys/block/"+disk+"/queue/read_ahead_kb", []byte(readAhead), 0); err != nil {
			return fmt.Errorf("setting the read-ahead: %w", err)
		}
	}
	err := mountAll([]mount{
		{"/dev/vda", "/lower", "ext4", unix.MS_RDONLY, ""},
		{"/dev/vdb", "/upper", "ext4", unix.MS_NOATIME, "noinit_itable"},
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{"/upper/upper", "/upper/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing the writable disk: %w", err)
		}
	}
	err = mount{"overlay", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work"}.do()
	if err != nil {
		return err
	}
	if err := unix.Chdir("/root"); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	return unix.Chdir("/")
}

// prepareRoot gives the image the file systems, limits and files that any program expects.
func prepareRoot() error {
	syscall.Umask(0o022)
	const hidden = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err := mountAll([]mount{
		{"proc", "/proc", "proc", hidden, ""},
		{"sysfs", "/sys", "sysfs", hidden, ""},
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=620,gid=5,ptmxmode=666"},
		{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	})
	if err != nil {
		return err
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		_ = os.Symlink(target, link) // devtmpfs is fresh only at the first mount
	}
	if err := os.MkdirAll("/workspace", 0o755); err != nil {
		return fmt.Errorf("preparing the root: %w", err)
	}
	if err := writeIfEmpty("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("preparing the root: %w", err)
	}
	limit := syscall.Rlimit{Cur: openFiles, Max: openFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return loopbackUp()
}

// loopbackUp is all the network there is: the kernel adds 127.0.0.1 and ::1 itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	return nil
}
