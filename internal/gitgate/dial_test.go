package gitgate

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/netguard"
	"bottle.internal/tests/fakenet"
)

// ssh's proxy reaches declared upstreams only, under the guard of addresses.
func TestDial(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/targets.json"
	if err := os.WriteFile(file, []byte(`[{"host":"git.test","port":22},{"host":"corp.test","port":2222,"opened":["10.1.0.0/16"]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		addr string
		args []string
		code int
		want string
	}{
		{"1.2.3.4", []string{file, "git.test", "22"}, 0, "hello"},
		{"10.1.0.1", []string{file, "corp.test", "2222"}, 0, "hello"},
		{"10.2.0.1", []string{file, "corp.test", "2222"}, 1, "git-dial: connecting to corp.test: corp.test resolves to a refused address: 10.2.0.1 is private\n"},
		{"10.1.0.1", []string{file, "git.test", "22"}, 1, "git-dial: connecting to git.test: git.test resolves to a refused address: 10.1.0.1 is private\n"},
		{"127.0.0.1", []string{file, "git.test", "22"}, 1, "git-dial: connecting to git.test: git.test resolves to a refused address: 127.0.0.1 is loopback\n"},
		{"169.254.169.254", []string{file, "corp.test", "2222"}, 1, "git-dial: connecting to corp.test: corp.test resolves to a refused address: 169.254.169.254 is link-local or metadata\n"},
		{"1.2.3.4", []string{file, "git.test", "2222"}, 1, "git-dial: \"git.test\" port 2222 is not a declared upstream\n"},
		{"1.2.3.4", []string{file, "other.test", "22"}, 1, "git-dial: \"other.test\" port 22 is not a declared upstream\n"},
		{"1.2.3.4", []string{file, "git.test", "ssh"}, 1, "git-dial: \"ssh\" is not a port\n"},
		{"1.2.3.4", []string{file + "x", "git.test", "22"}, 1, "git-dial: open "},
		{"1.2.3.4", []string{file}, 2, "git-dial: want TARGETS HOST PORT\n"},
	} {
		guard := netguard.Dialer{Resolver: fakenet.Anywhere(test.addr), Connect: func(context.Context, netip.AddrPort) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = there.Write([]byte("hello")); _ = there.Close() }()
			return here, nil
		}}
		var out bytes.Buffer
		code := dialMain(t.Context(), test.args, stdio{strings.NewReader(""), &out, &out}, guard)
		if code != test.code || !strings.HasPrefix(out.String(), test.want) {
			t.Errorf("%v at %s: %d %q, want %d %q", test.args, test.addr, code, out.String(), test.code, test.want)
		}
	}
}
