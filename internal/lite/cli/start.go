//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/supervisor"
	"bottle.internal/internal/lite/vm"
	"bottle.internal/internal/lite/wire"
)

const (
	// superviseCommand is how start runs this program again. Nobody else types it.
	superviseCommand = "_supervise"
	lockFD, reportFD = 3, 4

	lockGrace = time.Second

	minFree = 2 << 30 // bytes that must be free for the writable disk to grow into

	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	readyEnv    = "SMOLVM_AGENT_READY_TIMEOUT_SECS"
)

func (a *App) start(ctx context.Context, args []string) error {
	flags := a.flags("start", startHelp)
	name := flags.name()
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	_, dir, err := a.open(*name)
	if err != nil {
		return err
	}
	lock, err := dir.Lock()
	if errors.Is(err, store.ErrBusy) {
		if running, err := a.alreadyRunning(ctx, *name, dir); running || err != nil {
			return err
		}
		// The lock of a killed supervisor lives a moment longer than its process.
		brief, cancel := context.WithTimeout(ctx, lockGrace)
		lock, err = dir.LockWait(brief)
		cancel()
	}
	switch {
	case errors.Is(err, store.ErrBusy):
		return fmt.Errorf("agent operation failed: start agent: %w", err)
	case errors.Is(err, store.ErrNotFound):
		return notFound(*name)
	case err != nil:
		return err
	}
	defer func() { _ = lock.Close() }() // the supervisor's copy keeps it
	if _, err := fmt.Fprintf(a.Stderr, "Starting machine '%s'...\n", *name); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	pid, err := a.launch(ctx, dir, lock)
	if err != nil {
		return fmt.Errorf("agent operation failed: start machine: %w", err)
	}
	return a.print(fmt.Sprintf("Machine '%s' running (PID: %d)\n", *name, pid))
}

func (a *App) alreadyRunning(ctx context.Context, name string, dir store.Dir) (bool, error) {
	c, err := inspect(ctx, dir)
	if err != nil || c.state != stateRunning {
		return false, err
	}
	return true, a.print(fmt.Sprintf("Machine '%s' already running (PID: %d)\n", name, *c.pid))
}

// launch prepares everything that may fail, starts the supervisor and waits for its word.
func (a *App) launch(ctx context.Context, dir store.Dir, lock *os.File) (int, error) {
	record, err := dir.ReadRecord()
	if err != nil {
		return 0, err
	}
	if err := checkSpace(string(dir)); err != nil {
		return 0, err
	}
	config, err := a.bootConfig(ctx, dir, record)
	if err != nil {
		return 0, err
	}
	if err := dir.WriteFile(store.BootFile, config); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(dir.Path(store.SupervisorLog), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "report"), os.NewFile(uintptr(fds[1]), "report")
	defer func() { _ = ours.Close() }()
	pid, err := execx.StartDetached(execx.Cmd{
		Path: a.Self, Args: []string{superviseCommand, string(dir)}, Dir: "/",
		Env: []string{"PATH=/usr/bin:/bin"}, Files: []*os.File{lock, theirs},
	}, log)
	_ = theirs.Close()
	if err != nil {
		return 0, err
	}
	return pid, awaitReport(ctx, ours, log.Name())
}

// awaitReport waits for the supervisor. Closing our end early, by any death, calls the
// start off.
func awaitReport(ctx context.Context, file *os.File, log string) error {
	conn, err := net.FileConn(file)
	if err != nil {
		return err
	}
	_ = file.Close()
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var exit wire.Exit
	frame, err := wire.ReadFrame(conn)
	if err == nil {
		err = frame.Decode(wire.KindExit, &exit)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return fmt.Errorf("the supervisor ended without a word\n  log: %s", log)
	case exit.Error != "":
		return errors.New(exit.Error)
	}
	return nil
}

func (a *App) bootConfig(ctx context.Context, dir store.Dir, r store.Record) (supervisor.Config, error) {
	counter := vm.ReadCounter()
	p, err := a.paths()
	if err != nil {
		return supervisor.Config{}, err
	}
	prober, err := a.prober()
	if err != nil {
		return supervisor.Config{}, err
	}
	if prober.Initramfs, err = vm.Initramfs(p.cache, prober.Kernel, p.init); err != nil {
		return supervisor.Config{}, err
	}
	accel, err := probe(ctx, prober)
	if err != nil {
		return supervisor.Config{}, err
	}
	counterKHz := 0
	if accel == vm.TCG {
		counterKHz = counter.KHz(ctx)
	}
	image := dir.Path(store.ImageFile)
	if r.Source != nil {
		if err := r.Source.Check(); err != nil {
			return supervisor.Config{}, err
		}
		image = r.Source.Path
	}
	boot := wire.Boot{
		Hostname: r.Name, Argv: append(append([]string{}, r.Entrypoint...), r.Cmd...),
		Env: append([]string{defaultPath, "HOME=/root"}, r.Env...), Dir: r.Workdir,
	}
	for _, socket := range r.Sockets {
		boot.Sockets = append(boot.Sockets, socket.Guest)
	}
	return supervisor.Config{
		QEMU: prober.QEMU, Boot: boot, Sockets: r.Sockets, BootTime: a.bootTime(),
		Spec: vm.Spec{
			Arch: goarch, Accel: accel, Name: r.Name,
			// More processors than the host has only make the boot slower.
			CPUs: min(r.CPUs, runtime.NumCPU()), MemMiB: r.MemMiB,
			Kernel: prober.Kernel.Image, Initramfs: prober.Initramfs,
			Image: image, Overlay: dir.Path(store.OverlayFile),
			CounterKHz: counterKHz,
		},
	}, nil
}

// probe lets one process at a time try: two boots at once could both be too slow.
func probe(ctx context.Context, prober vm.Prober) (vm.Accel, error) {
	if accel, ok := prober.Cached(); ok {
		return accel, nil
	}
	lock, err := store.LockFile(ctx, filepath.Join(prober.CacheDir, "accel.lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	return prober.Probe(ctx)
}

func (a *App) bootTime() time.Duration {
	if seconds, err := strconv.ParseUint(a.Getenv(readyEnv), 10, 16); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return supervisor.BootTime
}

// checkSpace refuses to start what would fill the host's disk.
func checkSpace(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("looking at the free space of %s: %w", dir, err)
	}
	return checkFree(dir, fs.Bavail*uint64(fs.Bsize))
}

func checkFree(dir string, free uint64) error {
	if free < minFree {
		return fmt.Errorf("only %d MiB are free in %s, at least %d are needed", free>>20, dir, minFree>>20)
	}
	return nil
}

// supervise is the other side of launch.
func (a *App) supervise(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return &usageError{superviseCommand + " is internal"}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	// Held until we end: it is the proof that the machine is taken.
	unix.CloseOnExec(lockFD)
	file := os.NewFile(reportFD, "report")
	report, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("%s is internal: %w", superviseCommand, err)
	}
	_ = file.Close()
	return supervisor.Run(ctx, store.Dir(args[0]), report)
}
