//go:build linux

package initd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/tests/fakenet"
)

func TestInitHasNoMorePowerThanItNeeds(t *testing.T) {
	t.Parallel()
	status := func(changed ...string) string {
		text := "Name:\tbundle\nCapInh:\t0000000000000000\nCapPrm:\t00000000000000e0\nCapEff:\t00000000000000e0\nCapBnd:\t00000000000000e0\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
		return strings.NewReplacer(changed...).Replace(text)
	}
	for _, test := range []struct{ status, want string }{
		{status(), ""},
		{status("CapInh:\t0000000000000000", "CapInh:\t00000000000000e0"), ""}, // of older engines
		{status("CapBnd:\t00000000000000e0", "CapBnd:\t00000000a80425fb"), "init has CapBnd 00000000a80425fb: it must have no more than KILL, SETGID and SETUID"},
		{status("CapEff:\t00000000000000e0", "CapEff:\t00000000000000e1"), "init has CapEff 00000000000000e1: it must have no more than KILL, SETGID and SETUID"},
		{status("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000100"), "init has CapAmb 0000000000000100: it must have no more than KILL, SETGID and SETUID"},
		{status("CapPrm:\t00000000000000e0", "CapPrm:\tall"), "init has CapPrm all: it must have no more than KILL, SETGID and SETUID"},
		{status("NoNewPrivs:\t1", "NoNewPrivs:\t0"), "init could get more privileges: no-new-privileges is off"},
		{status("CapBnd:\t00000000000000e0\n", ""), "init's own status says 5 of 6 things about its privileges"},
		{"", "init's own status says 0 of 6 things about its privileges"},
	} {
		err := confined(test.status)
		if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("%q: %v, want %q", test.status, err, test.want)
		}
	}
}

// init hears the host on its stdin, and its daemons on sockets that they inherited. Nothing
// of a network reaches it, and it listens on one path alone, where it answers and reads
// nothing. Its daemon shows that a listener would be seen.
func TestInitListensOnNoNetwork(t *testing.T) {
	t.Parallel()
	port := fakenet.FreePort(t)
	r := startInit(t, quick(), testDaemon("web", "serve", port))
	r.boot(control.Bootstrap{})
	networks, local := listenersOf(t, r.process.Pid())
	if len(networks) > 0 {
		t.Errorf("init listens on a network: %q", networks)
	}
	if web, _ := listenersOf(t, pidOf(t, r.event(control.Started))); len(web) != 1 {
		t.Errorf("its daemon listens on %q", web)
	}
	if want := []string{r.config.HealthSocket}; !slices.Equal(local, want) {
		t.Errorf("init listens on %q, want %q", local, want)
	}
}

// listenersOf lists where a process can be reached: sockets of a network, and paths.
func listenersOf(t *testing.T, pid int) (networks, local []string) {
	t.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatal(links, err)
	}
	inode := regexp.MustCompile(`^socket:\[(\d+)\]$`)
	for _, link := range links {
		to, _ := os.Readlink(link)
		if found := inode.FindStringSubmatch(to); found != nil {
			own[found[1]] = true
		}
	}
	table := func(name string) [][]string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]string
		for line := range strings.Lines(string(text)) {
			rows = append(rows, strings.Fields(line))
		}
		return rows[1:]
	}
	for name, at := range map[string]int{"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "packet": 8, "netlink": 9} {
		for _, row := range table(name) {
			// A connection that it made itself, to ask a daemon how it is, is no way in.
			if len(row) > at && own[row[at]] && (!strings.HasPrefix(name, "tcp") || row[3] == "0A") {
				networks = append(networks, name+" "+row[1])
			}
		}
	}
	const listens = "00010000"
	for _, row := range table("unix") {
		if len(row) > 7 && row[3] == listens && own[row[6]] {
			local = append(local, row[7])
		}
	}
	return networks, local
}
