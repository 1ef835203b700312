//go:build integration

package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// idleMemory is what a container holds once it has settled, in MB: anonymous memory and
// what the kernel keeps for it, without the page cache. It is empty where the container's
// group cannot be read, such as with an engine in a machine of its own.
func (s *bundles) idleMemory(b *testing.B, name string) []float64 {
	b.Helper()
	inspected, err := s.engine.ContainerInspect(b.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		b.Fatal(err)
	}
	read := groupOf(inspected.Container.State.Pid)
	last := math.Inf(1)
	for range 20 { // 10 s
		now, err := read()
		if err != nil {
			b.Log(err)
			return nil
		}
		sum := now[0] + now[1]
		if math.Abs(sum-last) < 0.1 {
			return now
		}
		last = sum
		select {
		case <-b.Context().Done():
			b.Fatal(b.Context().Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
	b.Fatalf("the memory of %s does not settle: %.1f MB", name, last)
	return nil
}

// groupOf reads the memory of a process's group: anonymous, kernel.
func groupOf(pid int) func() ([]float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return func() ([]float64, error) { return nil, err }
	}
	unified := ""
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch fields[1] {
		case "memory": // version 1
			dir := filepath.Join("/sys/fs/cgroup/memory", fields[2])
			return func() ([]float64, error) { return firstVersion(dir) }
		case "":
			unified = filepath.Join("/sys/fs/cgroup", fields[2])
		}
	}
	return func() ([]float64, error) {
		stat, err := memoryStat(unified)
		if err != nil {
			return nil, err
		}
		return []float64{stat["anon"], stat["kernel"]}, nil
	}
}

func firstVersion(dir string) ([]float64, error) {
	stat, err := memoryStat(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "memory.kmem.usage_in_bytes"))
	if err != nil {
		return nil, err
	}
	kernel, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return []float64{stat["total_rss"], kernel / megabyte}, err
}

// memoryStat reads memory.stat, in MB.
func memoryStat(dir string) (map[string]float64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return nil, err
	}
	stat := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, err
		}
		stat[name] = number / megabyte
	}
	return stat, nil
}
