//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// PortName is the name of the virtio port that leads to the supervisor.
	PortName = "lite"
	// ProbeFlag on the kernel command line asks for nothing but ProbeAnswer on the
	// console and power off: the accelerator works if that comes.
	ProbeFlag = "lite.probe"
	// ProbeAnswer is that answer.
	ProbeAnswer = "lite-probe-ok"

	portWait = 20 * time.Second
)

// Init is the whole life of PID 1. It returns only on failure; the caller prints the
// error and ends, which stops the machine.
func Init(ctx context.Context) error {
	if err := earlyMounts(); err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("reading the kernel command line: %w", err)
	}
	if strings.Contains(string(cmdline), ProbeFlag) {
		fmt.Println(ProbeAnswer)
		powerOff()
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	port, err := openPort(ctx)
	if err != nil {
		return err
	}
	if err := enterRoot(); err != nil {
		return err
	}
	if err := prepareRoot(); err != nil {
		return err
	}
	return Serve(ctx, port, machine{})
}

// loadModules loads every file of dir in the order of their names, in which the
// initramfs encodes the dependencies.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko")) // sorted
	if err != nil {
		return err
	}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("loading a module: %w", err)
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		_ = file.Close()
		// ENODEV: this processor lacks what the module accelerates.
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("loading module %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// openPort waits for the port: the driver finds it in the background.
func openPort(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, portWait)
	defer cancel()
	for {
		if device := findPort("/sys/class/virtio-ports"); device != "" {
			file, err := os.OpenFile(device, os.O_RDWR, 0)
			if err == nil {
				return &portConn{File: file}, nil
			}
			if !errors.Is(err, os.ErrNotExist) { // devtmpfs may lag behind sysfs
				return nil, fmt.Errorf("opening the port to the supervisor: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("no virtio port named " + PortName)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func findPort(class string) string {
	names, _ := filepath.Glob(filepath.Join(class, "*", "name"))
	for _, path := range names {
		if name, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(name)) == PortName {
			return "/dev/" + filepath.Base(filepath.Dir(path))
		}
	}
	return ""
}

// portConn makes a virtio port look like a connection. Until the host's side is known
// to the driver a read returns 0 bytes, which is not the end of anything.
type portConn struct{ *os.File }

func (c *portConn) Read(p []byte) (int, error) {
	for {
		n, err := c.File.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (c *portConn) LocalAddr() net.Addr  { return portAddr{} }
func (c *portConn) RemoteAddr() net.Addr { return portAddr{} }

type portAddr struct{}

func (portAddr) Network() string { return "virtio" }
func (portAddr) String() string  { return PortName }
