package gitgate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

func noise(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return string(raw)
}

// Each limit refuses, with its number, and leaves nothing behind.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *Config) {
		c.Limits = Limits{PushBytes: 200_000, ObjectBytes: 1 << 20, InflatedBytes: 3 << 20, Objects: 40}
	})
	w.seed()
	for _, test := range []struct {
		name string
		make func(dir string)
		want string
	}{
		{"pack", func(dir string) { w.commit(dir, "a", noise(300_000)) }, "the push is larger than 200000 bytes"},
		{"object", func(dir string) { w.commit(dir, "a", strings.Repeat("a", 1<<20+1)) }, "an object of 1048577 bytes, at most 1048576 are allowed"},
		{"inflated", func(dir string) {
			for i := range 4 {
				write(t, dir+"/f"+string(rune('a'+i)), strings.Repeat(string(rune('a'+i)), 900_000))
			}
			w.commit(dir, "z", "z")
		}, "the new objects hold more than 3145728 bytes"},
		{"objects", func(dir string) {
			for i := range 50 {
				write(t, dir+"/f"+hex.EncodeToString([]byte{byte(i)}), string(rune('a'+i)))
			}
			w.commit(dir, "z", "z")
		}, "more than 40 new objects"},
		{"archive", func(dir string) {
			w.commit(dir, "a.zip", pushscantest.Zip(t, "b", strings.Repeat("a", 4<<20)))
		}, "its archives hold too much"},
	} {
		dir := w.clone(test.name)
		test.make(dir)
		w.refused(dir, test.want, "origin", "HEAD")
	}
}

// Time is a limit too: no answer in time is a refusal.
func TestDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, c *Config) {
		c.Remotes[0].Approve = true
		c.Limits.PushSeconds = 2
	})
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.channel.silent.Store(true)
	w.refused(dir, "the push took too long to look through", "origin", "HEAD")
}

// A second push waits for the first, and no longer than it may.
func TestBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *Config) {
		c.Remotes[0].Approve = true
		c.Limits.WaitSeconds = 1
	})
	w.seed()
	one, two := w.clone("one"), w.clone("two")
	w.commit(one, "a", "1")
	w.commit(two, "a", "2")
	asked, goOn := make(chan struct{}), make(chan struct{})
	w.channel.answer(func(approvalQuestion) (approvalAnswer, error) {
		close(asked)
		<-goOn
		return approvalAnswer{Decision: "approved"}, nil
	})
	var first sync.WaitGroup
	first.Go(func() { w.must(one, "push", "-q", "origin", "HEAD") })
	<-asked
	w.refused(two, "another push to app is under way; try again", "origin", "HEAD")
	close(goOn)
	first.Wait()
}

// A client that hangs up in the middle of its push leaves nothing.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", noise(3_000_000))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	head := appendPkt(nil, zeroOID+" "+w.head("main")+" refs/heads/bottle/one\x00report-status")
	w.halfPush(ctx, string(head)+"0000PACK\x00\x00\x00\x02\x00\x00\x00\x03")
	w.await(eventPushDeny)
	w.stop() // looks into the quarantine
}
