// Package sshd is a real OpenSSH server in front of the repositories of a test.
package sshd

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/need"
)

const program = "/usr/sbin/sshd"

// Server is one process a connection, on a listener of the test. Paths are those of this
// machine, as is the only user.
type Server struct {
	Addr     string
	Port     int
	HostLine string       // of known_hosts, but for the name
	Client   secret.Value // the private key that it takes
	User     string
	Conns    atomic.Int32 // so far
}

// NewKey makes a key pair: the private key, and the line of the public one.
func NewKey(t testing.TB) (private secret.Value, line string) {
	t.Helper()
	private, line, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, line
}

// Start serves until the test ends; its files are in dir. It skips the test where there is no
// sshd, unless BOTTLE_REQUIRE names it.
func Start(t testing.TB, dir string) *Server {
	t.Helper()
	_, err := os.Stat(program)
	need.Need(t, "sshd", err)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // root's sshd wants its directory
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hostKey, hostLine := NewKey(t)
	clientKey, clientLine := NewKey(t)
	config := filepath.Join(dir, "sshd_config")
	for path, text := range map[string]string{
		dir + "/host_key": hostKey.Reveal(), dir + "/authorized": clientLine + "\n",
		config: fmt.Sprintf("HostKey %[1]s/host_key\nAuthorizedKeysFile %[1]s/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"+
			"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n", dir),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener := fakenet.Listen(t)
	s := &Server{
		Addr: listener.Addr().String(), Port: listener.Addr().(*net.TCPAddr).Port,
		HostLine: hostLine, Client: clientKey, User: me.Username,
	}
	var running sync.WaitGroup
	running.Go(func() { s.serve(context.WithoutCancel(t.Context()), listener, config) })
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	return s
}

func (s *Server) serve(ctx context.Context, listener net.Listener, config string) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.Conns.Add(1)
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			continue
		}
		running.Go(func() {
			defer func() { _ = file.Close() }()
			cmd := execx.Cmd{Path: program, Args: []string{"-i", "-e", "-f", config}, Env: os.Environ(), Stdin: file, Stdout: file}
			if testing.Verbose() {
				cmd.Stderr = os.Stderr
			}
			_ = execx.Run(ctx, cmd)
		})
	}
}
