package imagepack_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
)

func TestEnsureMakesOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	if first.Cached || first.Via != imagepack.ViaPack || first.Pushed == 0 {
		t.Errorf("first artifact: %+v", first)
	}
	if info, err := os.Stat(first.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the artifact: %v, %v", info.Mode(), err)
	}
	if want := filepath.Join(b.dir, "packs", first.Key+".smolmachine"); first.Path != want {
		t.Errorf("path = %s, want %s", first.Path, want)
	}
	b.said.take()

	second := b.ensure(t, "one")
	if !second.Cached || second.Pushed != 0 || second.Path != first.Path || second.SHA256 != first.SHA256 || second.ImageDigest != first.ImageDigest {
		t.Errorf("second artifact: %+v", second)
	}
	if b.built.count() != 1 || b.packer.count() != 1 {
		t.Errorf("%d builds and %d packs, want 1 and 1", b.built.count(), b.packer.count())
	}
	want := []string{"skip pack: agent: nothing changed (" + first.Key[:12] + ")"}
	if diff := cmp.Diff(want, b.said.take(event.Start, event.Done, event.Skip, event.Info, event.Warn)); diff != "" {
		t.Errorf("events of the second time (-want +got):\n%s", diff)
	}
}

func TestUnchangedImagePushesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	b.packer.version = "1.10.0" // another tool: the image is the same, the artifact is not
	second := b.ensure(t, "one")
	if second.Cached || second.Pushed != 0 || second.Key == first.Key || b.packer.count() != 2 {
		t.Errorf("after an upgrade of the tool: %+v, %d packs", second, b.packer.count())
	}
	want := []imagepack.Change{{Name: "tool", Was: "smolvm-fake 1.9.3", Now: "smolvm-fake 1.10.0"}}
	if diff := cmp.Diff(want, second.Explain.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}

	// A blob that rotted is sent again, and only that.
	blobs, err := filepath.Glob(filepath.Join(b.dir, "registry", "sha256", "*"))
	if err != nil || len(blobs) != 2 {
		t.Fatalf("blobs: %v, %v", blobs, err)
	}
	raw, err := os.ReadFile(blobs[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(blobs[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b.packer.version = "1.11.0"
	if third := b.ensure(t, "one"); third.Pushed != int64(len(raw)) {
		t.Errorf("pushed %d bytes, want the %d of the damaged blob", third.Pushed, len(raw))
	}
}

func TestAnotherRecipeForTheSameImage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	image := b.built.image("one")
	image.Key = recipeKey("a comment was added")
	again, err := b.store().Ensure(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Cached || again.Path != first.Path || b.packer.count() != 1 || b.built.count() != 2 {
		t.Errorf("again: %+v, %d packs, %d builds", again, b.packer.count(), b.built.count())
	}
}

func TestPackerOptionsAndPlatformShapeTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := map[string]string{}
	for name, options := range map[string][]imagepack.Part{
		"none": nil, "mem": {{Name: "mem", Value: "2048"}}, "cpus": {{Name: "cpus", Value: "2048"}},
		"both": {{Name: "cpus", Value: "2"}, {Name: "mem", Value: "2048"}},
	} {
		store := imagepack.NewStore(imagepack.Config{CacheDir: b.dir, Packer: b.packer, Platform: platform, Options: options})
		artifact, err := store.Ensure(t.Context(), b.built.image("one"))
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := keys[artifact.Key]; taken {
			t.Errorf("options %s and %s have the same key", name, other)
		}
		keys[artifact.Key] = name
	}
}

func TestConcurrentEnsureBuildsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	packing, waiting := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.packer.before = func(context.Context, string) error {
		close(packing)
		<-waiting // the other one has said that it waits
		return nil
	}
	sink := event.SinkFunc(func(ctx context.Context, e event.Event) {
		b.said.Send(ctx, e)
		if e.Kind == event.Info && strings.Contains(e.Text, "waiting for process") {
			once.Do(func() { close(waiting) })
		}
	})
	run := func() imagepack.Artifact {
		store := imagepack.NewStore(imagepack.Config{CacheDir: b.dir, Packer: b.packer, Platform: platform, Events: sink})
		artifact, err := store.Ensure(t.Context(), b.built.image("one"))
		if err != nil {
			t.Error(err)
		}
		return artifact
	}
	results := make(chan imagepack.Artifact, 2)
	var group sync.WaitGroup
	group.Go(func() { results <- run() })
	<-packing
	group.Go(func() { results <- run() })
	group.Wait()
	one, two := <-results, <-results
	if one.SHA256 != two.SHA256 || one.Cached == two.Cached {
		t.Errorf("results: %+v\n%+v", one, two)
	}
	if b.built.count() != 1 || b.packer.count() != 1 {
		t.Errorf("%d builds and %d packs, want 1 and 1", b.built.count(), b.packer.count())
	}
	b.checkNoTemp(t)
}

func TestArchiveFallback(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.packer.before = func(context.Context, string) error {
		return errors.Join(imagepack.ErrRegistryRefused, errors.New("egress floor"))
	}
	first := b.ensure(t, "one")
	if first.Via != imagepack.ViaArchive || first.Cached || !strings.HasSuffix(first.Path, first.Key+".tar") {
		t.Errorf("first: %+v", first)
	}
	image, err := tarball.ImageFromPath(first.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	want, err := newImage("one")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := want.ConfigName(); err != nil || id != got {
		t.Errorf("image id in the archive = %s, want %s (%v)", got, id, err)
	}
	if second := b.ensure(t, "one"); !second.Cached || second.Via != imagepack.ViaArchive || b.packer.count() != 1 {
		t.Errorf("second: %+v, %d packs", second, b.packer.count())
	}
	// The archive has no footer; damage is found all the same.
	flipByte(t, first.Path)
	if third := b.ensure(t, "one"); third.Cached || third.SHA256 != first.SHA256 {
		t.Errorf("third: %+v", third)
	}
}

// Not parallel: a process that another test forks holds the listener until its exec.
func TestRegistryIsUpOnlyWhilePacking(t *testing.T) {
	b := newBench(t)
	addr := ""
	b.packer.before = func(_ context.Context, ref string) error {
		addr, _, _ = strings.Cut(ref, "/")
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	b.ensure(t, "one")
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Errorf("somebody still listens on %s", addr)
	}
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("the registry listened on %s", addr)
	}
}
