//go:build integration && linux

package escape

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

const (
	// smallMemory and smallDisk are what the manifest gives to the neighbour.
	smallMemory = 256 << 20
	smallDisk   = 1 << 30
	// overMemory is what the VM tool may need beside the guest's memory, overDisk what a
	// file system may.
	overMemory = 384 << 20
	overDisk   = 128 << 20
	// maxFlood is the relay's bound (SECURITY-RULES 26), and what may wait before it.
	maxFlood = 256
)

// answers asks a guest for its firewall, and says how long that took; "" is well.
func (s *scene) answers(t *testing.T, id string) (problem string, took time.Duration) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := s.Run(ctx, "exec", id, "--", "curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8888/health")
	if err != nil || got.Stdout != "200" {
		return fmt.Sprintf("%v %s", err, got), time.Since(begin)
	}
	return "", time.Since(begin).Round(10 * time.Millisecond)
}

// bombs fill the neighbour. This bottle and the host must not notice.
func bombs(t *testing.T, s *scene) {
	const program = guestProbe + " bomb "
	for _, c := range []struct{ kind, who, script string }{
		{"fork", "", "before=$(cut -d' ' -f5 /proc/loadavg); timeout -s KILL 6 " + program + "fork 3; echo \"went off: $(($(cut -d' ' -f5 /proc/loadavg) - before)) processes\""},
		{"memory", "root", "timeout -s KILL 10 " + program + "memory 6"},
		{"disk", "root", "timeout -s KILL 30 " + program + "disk 25; rm -f /var/tmp/bomb"},
	} {
		s.bomb(t, c.kind, c.who, c.script)
	}
}

func (s *scene) bomb(t *testing.T, kind, who, script string) {
	r := row{probe: "a " + kind + " bomb", expected: "bounded, this bottle answers"}
	_, before := s.answers(t, s.id)
	m := s.watch(s.other)
	var said rig.Result
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		said = s.in(t, s.other, who, script)
	}()
	problem, took := s.answers(t, s.id) // in the middle of it
	for running := true; running && problem == ""; {
		select {
		case <-ended:
			running = false
		default:
			var again time.Duration
			problem, again = s.answers(t, s.id)
			took = max(took, again)
		}
	}
	<-ended
	m.end()
	lines := strings.Split(strings.TrimSpace(said.Stdout), "\n")
	r.control = fmt.Sprintf("it %s; this bottle answers in %v before", strings.Join(lines[max(0, len(lines)-2):], ", "), before)
	r.observed = fmt.Sprintf("answers in %v at most; the VM has %d MiB of memory, its files %d MiB", took, m.memory>>20, m.disk>>20)
	switch {
	case problem != "":
	case !strings.HasPrefix(said.Stdout, "went off: ") || kind == "memory" && !strings.Contains(said.Stdout, "went off: 96 MiB"):
		problem = "the bomb did not go off"
	case m.memory == 0 && s.standIn():
		problem = "the VM was not measured"
	case m.memory > smallMemory+overMemory:
		problem = "the VM takes more memory than it was given"
	case m.disk > smallDisk+overDisk:
		problem = "the VM takes more disk than it was given"
	}
	table.add(t, r, problem)
}

// standIn says whether the VM tool is the one of this repository, whose processes and files
// are known. Another one's are measured where they have the machine's name.
func (s *scene) standIn() bool {
	return slices.ContainsFunc(s.VMEnv, func(entry string) bool { return strings.HasPrefix(entry, "SMOLVM_LITE_INIT=") })
}

// meter keeps the most that a machine has had on this host.
type meter struct {
	memory, disk int64
	quit         chan struct{}
	done         sync.WaitGroup
}

func (s *scene) watch(id string) *meter {
	m := &meter{quit: make(chan struct{})}
	dir := filepath.Join(s.Data, "smolvm-lite", "machines", "bottle-"+id)
	m.done.Go(func() {
		for {
			m.memory, m.disk = max(m.memory, memoryOf(id)), max(m.disk, diskOf(dir))
			select {
			case <-m.quit:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	return m
}

func (m *meter) end() { close(m.quit); m.done.Wait() }

// memoryOf is the resident memory of all processes that name the machine.
func memoryOf(id string) (total int64) {
	for pid, line := range rig.CommandLines() {
		if !strings.Contains(line, "bottle-"+id) {
			continue
		}
		total += residentOf(pid)
	}
	return total
}

// residentOf is the memory of one process, in bytes; 0 if it is gone.
func residentOf(pid int) int64 {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// diskOf is what the files of a directory may come to take: their sizes, holes too.
func diskOf(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil { // it may just have gone
				total += info.Size()
			}
		}
		return nil // what has gone takes nothing
	})
	return total
}

// flood has root in the guest hold as many connections as it gets, without a word on any,
// past the forwarder and its own bound.
func flood(t *testing.T, s *scene) {
	const want = 1500
	socket := filepath.Join(s.StateDir(), s.id, "sockets", "8888.sock")
	r := row{probe: fmt.Sprintf("%d silent connections", want), expected: fmt.Sprintf("at most %d on the host, exec and the neighbour work, it ends", maxFlood)}
	problem, before := s.answers(t, s.other)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.in(t, s.id, "root", fmt.Sprintf("%s hold /run/bottle/8888.sock %d 30", guestProbe, want))
	}()
	most := 0
	for begin := time.Now(); time.Since(begin) < 20*time.Second && most < maxFlood; time.Sleep(10 * time.Millisecond) {
		most = max(most, connections(socket))
	}
	r.control = fmt.Sprintf("%d of them are on the host; the neighbour answers in %v before", most, before)
	if problem == "" && most < maxFlood {
		problem = "there was no flood"
	}
	during, took := s.answers(t, s.other)
	if got := s.in(t, s.id, "", "echo here"); got.Stdout != "here\n" {
		during = "exec does not work: " + got.String()
	}
	for begin := time.Now(); time.Since(begin) < time.Second; time.Sleep(10 * time.Millisecond) {
		most = max(most, connections(socket))
	}
	s.in(t, s.id, "root", "pkill -f 'es-probe hold'")
	<-ended
	switch {
	case problem != "":
	case during != "":
		problem = during
	case most > maxFlood:
		problem = "the bound does not hold"
	}
	begin := time.Now()
	s.allOpen(t, "after the flood")
	r.observed = fmt.Sprintf("at most %d on the host; the neighbour answers in %v; all works again within %v", most, took, time.Since(begin).Round(100*time.Millisecond))
	table.add(t, r, problem)
}

// connections are those that the host has accepted at a socket.
func connections(socket string) (n int) {
	text, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		// Flags of a listener are 00010000; state 03 is connected, and of the rest some wait.
		if len(fields) == 8 && fields[7] == socket && fields[3] != "00010000" && fields[5] == "03" {
			n++
		}
	}
	return n
}
