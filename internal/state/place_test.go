package state

import (
	"strings"
	"testing"

	"bottle.internal/internal/ownsock"
)

// The sockets of a long identity fit on every system, from the homes and the temporary
// directories that the systems give.
func TestSocketPathsBySystem(t *testing.T) {
	t.Parallel()
	const macTemp = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T"
	short, long := "demo-x7k2p", strings.Repeat("a", 32)+"-x7k2p"
	for _, test := range []struct {
		goos, home, temp, identity, want string
		outside                          bool
	}{
		{"linux", "/home/me", "/tmp", short, "/home/me/.local/state/bottle/demo-x7k2p/sockets", false},
		{"linux", "/home/" + strings.Repeat("n", 32), "/tmp", long, "/tmp", true},
		{"darwin", "/Users/me", macTemp, short, "/Users/me/.local/state/bottle/demo-x7k2p/sockets", false},
		{"darwin", "/Users/firstname.lastname", macTemp, short, "/Users/firstname.lastname/.local/state/bottle/demo-x7k2p/sockets", false},
		// The temporary directory of a Mac is long itself.
		{"darwin", "/Users/firstname.lastname", macTemp, long, "/tmp", true},
		{"darwin", "/Users/firstname.lastname", "/tmp/t", long, "/tmp/t", true},
	} {
		prefix := socketPrefix + "01234567-" + test.identity + "-"
		dir, outside := placeSockets(test.home+"/.local/state/bottle/"+test.identity, test.temp, prefix)
		if dir != test.want || outside != test.outside {
			t.Errorf("%s %s: %s, %v", test.goos, test.identity, dir, outside)
		}
		if outside {
			dir += "/" + prefix + strings.Repeat("9", randomEnd)
		}
		for _, socket := range []string{"/65535.sock", "/" + AttachSocket} {
			if got := len(dir + socket); got > ownsock.MaxPath {
				t.Errorf("%s: %s%s has %d bytes, a socket takes %d", test.goos, dir, socket, got, ownsock.MaxPath)
			}
		}
	}
}
