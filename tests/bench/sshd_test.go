//go:build integration

package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"testing"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/sshagent"
	"bottle.internal/tests/fakenet"
)

const (
	sshdPath = "/usr/sbin/sshd"
	// dialEnv makes this program what ssh reaches the upstream through: its value is where
	// that really is. The gate's own dialer refuses the loopback.
	dialEnv = "BOTTLE_BENCH_DIAL"
)

// dial copies between the upstream and the streams of this process until either ends.
func dial(ctx context.Context, address string) int {
	conn, err := to(address)(ctx, "", "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(os.Stdout, conn); err != nil {
		return 1
	}
	return 0
}

// startSSHD is a real OpenSSH server, one process a connection.
func (f *forge) startSSHD() {
	f.b.Helper()
	me, err := user.Current()
	if err != nil {
		f.b.Fatal(err)
	}
	hostKey, hostLine, err := echo.NewKey(rand.Reader)
	if err != nil {
		f.b.Fatal(err)
	}
	clientKey, clientLine, err := echo.NewKey(rand.Reader)
	if err != nil {
		f.b.Fatal(err)
	}
	config := filepath.Join(f.dir, "sshd_config")
	for path, text := range map[string]string{
		f.dir + "/host_key": hostKey.Reveal(), f.dir + "/client_key": clientKey.Reveal(), f.dir + "/authorized": clientLine + "\n",
		config: fmt.Sprintf("HostKey %[1]s/host_key\nAuthorizedKeysFile %[1]s/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"+
			"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n", f.dir),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			f.b.Fatal(err)
		}
	}
	if os.Getuid() == 0 { // root's sshd wants its directory
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			f.b.Fatal(err)
		}
	}
	listener := fakenet.Listen(f.b)
	var running sync.WaitGroup
	running.Go(func() { serveSSHD(f.b, listener, config) })
	f.b.Cleanup(func() { _ = listener.Close(); running.Wait() })
	f.sshd = listener.Addr().String()
	f.direct = fmt.Sprintf("ssh://%s@%s%s/ssh/app.git", me.Username, f.sshd, f.dir)
	known := fmt.Sprintf("[upstream.test]:%d %s", listener.Addr().(*net.TCPAddr).Port, hostLine)
	f.keys = sshagent.Remote{Name: "app", User: me.Username, KnownHostKey: known, Key: clientKey}
}

func serveSSHD(b *testing.B, listener net.Listener, config string) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			continue
		}
		running.Go(func() {
			defer file.Close()
			_ = execx.Run(context.WithoutCancel(b.Context()), execx.Cmd{
				Path: sshdPath, Args: []string{"-i", "-e", "-f", config}, Env: os.Environ(), Stdin: file, Stdout: file,
			})
		})
	}
}
