package gitgate

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/netguard"
	"bottle.internal/tests/fakenet"
)

// dialEnv makes the test binary the proxy of ssh: its value is where the upstream really
// is, whatever name and port are asked for.
const dialEnv = "GITGATE_TEST_DIAL"

func TestMain(m *testing.M) {
	if addr := os.Getenv(dialEnv); addr != "" {
		guard := netguard.Dialer{Resolver: fakenet.Anywhere("1.2.3.4"), Connect: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", addr)
		}}
		os.Exit(dialMain(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}, guard))
	}
	goleak.VerifyTestMain(m)
}
