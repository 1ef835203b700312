//go:build integration

package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"bottle.internal/internal/sshagent"
	"bottle.internal/tests/sshd"
)

// dialEnv makes this program what ssh reaches the upstream through: its value is where
// that really is. The gate's own dialer refuses the loopback.
const dialEnv = "BOTTLE_BENCH_DIAL"

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

// startSSHD is the upstream.
func (f *forge) startSSHD() {
	f.b.Helper()
	server := sshd.Start(f.b, f.dir)
	if err := os.WriteFile(f.dir+"/client_key", []byte(server.Client.Reveal()), 0o600); err != nil {
		f.b.Fatal(err)
	}
	f.sshd = server.Addr
	f.direct = fmt.Sprintf("ssh://%s@%s%s/ssh/app.git", server.User, server.Addr, f.dir)
	known := fmt.Sprintf("[upstream.test]:%d %s", server.Port, server.HostLine)
	f.keys = sshagent.Remote{Name: "app", User: server.User, KnownHostKey: known, Key: server.Client}
}
