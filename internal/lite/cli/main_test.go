//go:build linux

package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/lite/cli"
	"bottle.internal/internal/lite/guest"
	"bottle.internal/internal/lite/vm"
	"bottle.internal/internal/lite/wire"
)

// TestMain lets the test binary play every program of the scenarios, by its name: our
// own, QEMU with a guest in it, mkfs, and what the guest's image holds.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == "smolvm-lite":
		// The link's name is what makes the supervisor one of us again.
		self := filepath.Join(os.Getenv("LITE_TEST_BIN"), "smolvm-lite")
		app := &cli.App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Self: self}
		exit(app.Run(context.Background(), os.Args[1:]))
	case strings.HasPrefix(name, "qemu-system-"):
		exit(fakeQEMU(os.Args[1:]))
	case name == "mkfs.ext4":
		os.Exit(0)
	case name == "guest-tool":
		os.Exit(guestTool(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fakeQEMU is a guest without a machine around it: the real server of the guest on the
// real file descriptor, running its commands on the host.
func fakeQEMU(args []string) int {
	line := args[slices.Index(args, "-append")+1]
	if strings.Contains(line, "lite.probe") {
		fmt.Println(guest.ProbeAnswer)
		return 0
	}
	signal.Ignore(syscall.SIGHUP)
	fmt.Println("fake console: booting")
	initramfs, err := os.ReadFile(args[slices.Index(args, "-initrd")+1])
	if err != nil {
		return 1
	}
	if strings.Contains(string(initramfs), "init that hangs") {
		select {}
	}
	link := os.NewFile(vm.LinkFD, "link")
	conn, err := net.FileConn(link)
	_ = link.Close() // a guest's processes do not hold the channel of a real machine
	if err != nil {
		return 1
	}
	err = guest.Serve(context.Background(), conn, fakeSystem{})
	fmt.Println("fake console:", err)
	select {} // like QEMU, which does not mind a broken channel: somebody must end us
}

type fakeSystem struct{}

func (fakeSystem) Setup(wire.Boot) error { return nil }
func (fakeSystem) Stop()                 { exit(0) }

// exit is os.Exit without the second that the race detector sleeps at the end of a
// process, which the supervisor and QEMU get no environment to change.
func exit(code int) { syscall.Exit(code) }

// guestTool is what a shell cannot do.
func guestTool(args []string) int {
	if len(args) == 1 && args[0] == "idle" { // until the guest ends, which takes nothing with it here
		_, _ = os.Stdout.Close(), os.Stderr.Close() // the supervisor waits for the end of QEMU's output
		parent, end := os.Getppid(), time.Now().Add(time.Minute)
		for os.Getppid() == parent && time.Now().Before(end) {
			time.Sleep(50 * time.Millisecond)
		}
		return 0
	}
	if len(args) != 2 || args[0] != "dial" {
		return 2
	}
	// dial PATH sends stdin, half-closes, and prints what comes back until its end.
	conn, err := net.Dial("unix", args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, os.Stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
		sent <- err
	}()
	if _, err := io.Copy(os.Stdout, conn); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := <-sent; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
