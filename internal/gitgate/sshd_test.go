package gitgate

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"bottle.internal/tests/need"
)

// sshd is a real OpenSSH server, one process a connection, on a listener of the test.
type sshd struct {
	addr     string
	port     int
	hostKey  string // "TYPE KEY"
	client   string // private key
	user     string
	conns    atomic.Int32
	listener net.Listener
	running  sync.WaitGroup
}

const sshdPath = "/usr/sbin/sshd"

// needSSHD skips the test, unless BOTTLE_REQUIRE names sshd.
func needSSHD(t testing.TB) {
	t.Helper()
	_, err := os.Stat(sshdPath)
	need.Need(t, "sshd", err)
	if os.Getuid() == 0 { // root's sshd wants its directory
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func newKey(t testing.TB) (private string, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer.PublicKey()
}

func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func startSSHD(t testing.TB, dir string) *sshd {
	t.Helper()
	needSSHD(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hostPrivate, hostPublic := newKey(t)
	clientPrivate, clientPublic := newKey(t)
	write(t, dir+"/host_key", hostPrivate)
	write(t, dir+"/authorized", keyLine(clientPublic)+"\n")
	write(t, dir+"/sshd_config", fmt.Sprintf("HostKey %s/host_key\nAuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"+
		"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n", dir, dir))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &sshd{
		addr: listener.Addr().String(), port: listener.Addr().(*net.TCPAddr).Port, hostKey: keyLine(hostPublic),
		client: clientPrivate, user: me.Username, listener: listener,
	}
	d.running.Go(func() { d.serve(filepath.Join(dir, "sshd_config")) })
	t.Cleanup(d.stop)
	return d
}

func (d *sshd) stop() {
	_ = d.listener.Close()
	d.running.Wait()
}

func (d *sshd) serve(config string) {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.conns.Add(1)
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			continue
		}
		d.running.Go(func() {
			defer file.Close()
			cmd := exec.Command(sshdPath, "-i", "-e", "-f", config)
			cmd.Stdin, cmd.Stdout = file, file
			if testing.Verbose() {
				cmd.Stderr = os.Stderr
			}
			_ = cmd.Run()
		})
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
