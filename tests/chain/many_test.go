//go:build integration

package chain

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bottle.internal/internal/link"
	"bottle.internal/tests/integration/rig"
)

const (
	many = 20
	// goalMemory and goalReady are the goals for one bundle; what is asserted leaves room
	// for a busy machine.
	goalMemory = 60 << 20
	goalReady  = time.Second
)

// One bundle alone, of the image as it is: how soon it is ready, and what it needs idle.
func TestOneBundle(t *testing.T) {
	setup(t)
	b := prepareBottle(t, shared.engine)
	t.Cleanup(b.end)
	if err := b.launch(t.Context(), shared.image); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v (goal %v)", b.ready.Round(time.Millisecond), goalReady)
	if b.ready > 10*goalReady {
		t.Errorf("it took %v to be ready", b.ready)
	}
	settled := b.settled(t)
	t.Logf("idle memory %.1f MB (goal %d MB): %s", float64(settled)/(1<<20), goalMemory>>20, b.shares(t))
	if settled > 2*goalMemory {
		t.Errorf("idle it needs %d bytes", settled)
	}
}

// settled waits until the memory of the container does not fall any more.
func (b *bottle) settled(t *testing.T) uint64 {
	t.Helper()
	last := b.memory(t)
	for range 10 {
		time.Sleep(300 * time.Millisecond)
		next := b.memory(t)
		if next+(1<<20) >= last {
			return next
		}
		last = next
	}
	return last
}

// memory is what the container holds and the engine could not take back: without the
// page cache, as docker stats counts.
func (b *bottle) memory(t *testing.T) uint64 {
	t.Helper()
	result, err := b.engine.ContainerStats(t.Context(), b.container(), client.ContainerStatsOptions{})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer result.Body.Close()
	var stats container.StatsResponse
	if err := json.NewDecoder(result.Body).Decode(&stats); err != nil {
		t.Error(err)
		return 0
	}
	used := stats.MemoryStats.Usage
	for _, cache := range []string{"total_inactive_file", "inactive_file"} {
		if n, ok := stats.MemoryStats.Stats[cache]; ok && n < used {
			return used - n
		}
	}
	return used
}

// shares are the resident sets of the processes.
func (b *bottle) shares(t *testing.T) string {
	t.Helper()
	top, err := b.engine.ContainerTop(t.Context(), b.container(), client.ContainerTopOptions{Arguments: []string{"-o", "pid,rss,args"}})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range top.Processes {
		words := strings.Fields(strings.Join(row, " "))
		list = append(list, words[len(words)-1]+" "+words[1]+" kB")
	}
	return strings.Join(list, ", ")
}

// Many bottles at once: all start, none sees anything of another, and nothing is left.
func TestManyBundles(t *testing.T) {
	setup(t)
	bottles := make([]*bottle, many)
	for i := range bottles {
		bottles[i] = prepareBottle(t, shared.engine)
		bottles[i].closeTries = 10
	}
	begin := time.Now()
	forAll(bottles, func(b *bottle) {
		if err := b.launch(t.Context(), shared.image); err != nil {
			t.Errorf("%s: %v", b.plan.Identity, err)
		}
	})
	t.Cleanup(func() { // also after a failure
		begin := time.Now()
		forAll(bottles, (*bottle).end)
		again := 0
		for _, b := range bottles {
			again += b.closes
		}
		t.Logf("all closed after %v, with %d tries after the first", time.Since(begin).Round(time.Millisecond), again)
		if found, err := rig.Labelled(context.WithoutCancel(t.Context()), shared.engine, ours); err != nil || len(found) > 0 {
			t.Errorf("left behind: %v, %v", found, err)
		}
	})
	if t.Failed() {
		return
	}
	took := make([]time.Duration, 0, many)
	for _, b := range bottles {
		took = append(took, b.ready)
	}
	slices.Sort(took)
	t.Logf("%d bundles are ready after %v, each after %v to %v", many, time.Since(begin).Round(time.Millisecond), took[0].Round(time.Millisecond), took[many-1].Round(time.Millisecond))
	forAll(bottles, func(b *bottle) {
		if got := b.once(t, api+"/v1/x"); got.status != http.StatusOK || got.echoed(t).Credential != "the real one" {
			t.Errorf("%s: %s", b.plan.Identity, got)
		}
	})
	testNeighbours(t, bottles[0], bottles[1])
	memory := make([]uint64, many)
	var all sync.WaitGroup
	for i, b := range bottles {
		all.Go(func() { memory[i] = b.memory(t) })
	}
	all.Wait()
	t.Logf("each holds %.1f to %.1f MB", float64(slices.Min(memory))/(1<<20), float64(slices.Max(memory))/(1<<20))
}

// testNeighbours shows that one bottle's key and network are of no use at another's.
func testNeighbours(t *testing.T, one, other *bottle) {
	if _, err := link.DialGate(t.Context(), one.sidecar.Gate(), other.key, portFirewall); err == nil || !strings.HasSuffix(err.Error(), "the gate has another key") {
		t.Errorf("the key of another bottle: %v", err)
	}
	address := other.address(t) + ":7070"
	said := one.beside(t, nil, nil, "knock", address).String()
	if strings.Contains(said, "64+") || !strings.HasPrefix(said, address+": web ") {
		t.Errorf("from the network of another bottle: %s", said)
	}
	t.Logf("from the network of another bottle: %s", said)
}

func forAll(bottles []*bottle, do func(*bottle)) {
	var all sync.WaitGroup
	for _, b := range bottles {
		all.Go(func() { do(b) })
	}
	all.Wait()
}
