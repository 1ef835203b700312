package cluster

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"bottle.internal/internal/control"
)

// retry is the pause between two looks for the overseer, which may start later.
const retry = 200 * time.Millisecond

// Open is the daemon's way to the overseer, once that is there.
func Open(ctx context.Context, dir, daemon string) (*control.Daemon, error) {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", filepath.Join(dir, daemon, socketName))
		if err == nil {
			return control.NewDaemon(conn), nil
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil, fmt.Errorf("looking for the overseer: %w", err)
		}
	}
}
