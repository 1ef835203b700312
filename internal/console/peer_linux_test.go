package console_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestexec"
)

// Were the directory and the socket open to all, the kernel's word still keeps another user
// out: not a byte of the agent's screen.
func TestAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can play another user")
	}
	b := open(t, guestexec.Size{})
	b.prints("secret screen")
	for path, mode := range map[string]os.FileMode{filepath.Dir(b.socket): 0o755, b.socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan string)
	go func() { got <- askAs(65534, b.socket) }()
	if answer := <-got; answer != "" {
		t.Errorf("another user gets %q", answer)
	}
	go func() { got <- askAs(0, b.socket) }()
	if answer := <-got; answer == "" {
		t.Error("nor does the owner's own user get anything: the test proves nothing")
	}
}

// askAs connects from a thread of another user. The thread ends with its goroutine, because
// it stays locked.
func askAs(uid int, socket string) string {
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return "setresuid: " + errno.Error()
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return err.Error()
	}
	const hello = `{"version":1}`
	_, _ = unix.Write(fd, append([]byte{'h', 0, 0, 0, byte(len(hello))}, hello...)) // or it was cut off already
	buffer := make([]byte, 64)
	n, _ := unix.Read(fd, buffer)
	return string(buffer[:max(n, 0)])
}
