package link

import (
	"context"
	"net"
	"os"
)

// ListenPrivate creates a unix socket for this user's own processes: mode 0600, in a
// directory of ours that nobody else can enter.
func ListenPrivate(ctx context.Context, path string) (*net.UnixListener, error) {
	return listenUnix(ctx, path, 0)
}

// PeerIsUs asks the kernel whether a connection comes from this user, or from root.
func PeerIsUs(conn *net.UnixConn) bool {
	return peerAllowed(conn, func(uid int) bool { return uid == os.Geteuid() || uid == 0 })
}

// PeerIs asks the kernel whether a connection comes from the user uid.
func PeerIs(conn *net.UnixConn, uid int) bool {
	return peerAllowed(conn, func(peer int) bool { return peer == uid })
}
