//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// manyBottles run at once; with BOTTLE_SLOW as many as a person could ever want here.
func manyBottles() int {
	if os.Getenv("BOTTLE_SLOW") != "" {
		return 20
	}
	return 3
}

// Many bottles of one agent start at once, each with its own name, network and port; what
// is done to one disturbs no other.
func TestManyBottles(t *testing.T) {
	w := setup(t)
	count := manyBottles()
	t.Cleanup(func() {
		w.good(t, append([]string{"stop"}, identities(w.list(t, "it-slow"))...)...)
		w.noneLeft(t, "it-slow")
	})
	begin := time.Now()
	var started sync.WaitGroup
	results := make([]rig.Result, count)
	for i := range count {
		started.Go(func() { results[i] = w.bottle(t, "start", "it-slow", "--detach", "--yes") })
	}
	started.Wait()
	t.Logf("%d bottles run after %v", count, time.Since(begin).Round(time.Second))
	for _, result := range results {
		if result.Code != 0 {
			t.Fatalf("%s", result)
		}
	}
	begin = time.Now()
	rows := w.list(t, "it-slow")
	t.Logf("list takes %v", time.Since(begin).Round(time.Millisecond))
	for _, row := range rows {
		if row.State != "running" {
			t.Errorf("%+v", row)
		}
	}
	if len(rows) != count {
		t.Fatalf("%d of %d are listed", len(rows), count)
	}
	t.Logf("memory of each: %s", w.memory(t, rows))
	gates := map[string]string{}
	for _, row := range rows {
		answer := w.answers(t, row.Identity)
		if other, taken := gates[answer]; taken {
			t.Errorf("%s and %s are one: %s", row.Identity, other, answer)
		}
		gates[answer] = row.Identity
	}
	begin = time.Now()
	w.good(t, "stop", rows[0].Identity)
	t.Logf("stop takes %v", time.Since(begin).Round(time.Millisecond))
	for _, row := range rows[1:] {
		w.answers(t, row.Identity)
	}
	if left := w.list(t, "it-slow"); len(left) != count-1 {
		t.Errorf("%d are listed after one was stopped", len(left))
	}
}

func identities(rows []row) []string {
	var list []string
	for _, row := range rows {
		list = append(list, row.Identity)
	}
	return list
}

// answers asks for the firewall from inside a guest, and returns the guest's own name.
func (w *world) answers(t *testing.T, identity string) string {
	t.Helper()
	got := w.good(t, "exec", identity, "--", "sh", "-c", `curl -sS -o /dev/null -w '%{http_code} ' http://127.0.0.1:8888/health && hostname`)
	if !strings.HasPrefix(got.Stdout, "200 ") {
		t.Errorf("%s: %s", identity, got)
	}
	return got.Stdout
}

// memory is what the processes of the bottles have on this host, by kind.
func (w *world) memory(t *testing.T, rows []row) string {
	t.Helper()
	kinds := map[string]int{"qemu": 0, "bottle own": 0, "_supervise": 0, "bundle": 0}
	for pid, line := range rig.CommandLines() {
		for kind := range kinds {
			if strings.Contains(line, kind) && (kind != "qemu" || strings.Contains(line, "bottle-it-slow")) {
				kinds[kind] += resident(pid)
			}
		}
	}
	return fmt.Sprintf("VM %d MB, its supervisor %d MB, owner %d MB, daemons of the bundle %d MB",
		kinds["qemu"]/len(rows)>>20, kinds["_supervise"]/len(rows)>>20, kinds["bottle own"]/len(rows)>>20, kinds["bundle"]/len(rows)>>20)
}

// resident is the memory that is a process's alone, in bytes; what programs share is left out.
func resident(pid int) (total int) {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	for line := range strings.Lines(string(text)) {
		for _, kind := range []string{"Private_Clean:", "Private_Dirty:"} {
			if rest, ok := strings.CutPrefix(line, kind); ok {
				kb, _ := strconv.Atoi(strings.Fields(rest)[0])
				total += kb << 10
			}
		}
	}
	return total
}
