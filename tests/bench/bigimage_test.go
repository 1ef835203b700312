//go:build integration

package bench

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/integration/rig"
)

// What an image gets beside its own 200 MB.
const smallExtra, bigExtra = 100 << 20, 2800 << 20

// BenchmarkBigImage is a warm start of an agent whose image has 3 GB over one of 300 MB:
// what does not depend on the image must not become slower with it.
func BenchmarkBigImage(b *testing.B) {
	r := prepared(b)
	big, small := sized(b, r, bigExtra), sized(b, r, smallExtra)
	start := func(what string, env []string) step {
		return step{what, func(b *testing.B) time.Duration {
			return spoken(b, time.Now(), execx.Cmd{Path: r.Bottle, Args: []string{"start", "bench-word", "--yes"}, Env: env, Dir: r.Dir})
		}}
	}
	compare(b, runs(b, 7), start("until the agent speaks, image of 3 GB", big), start("the same, image of 300 MB", small),
		goal{"ratio at most 1.10", func(ours, against float64) bool { return ours <= 1.1*against }})
}

// sized is the environment of a checkout whose agent image has so many random bytes more,
// packed and started once. Its caches are its own, but for what does not depend on the image.
func sized(b *testing.B, r *rig.Rig, extra int64) []string {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "bottle") // the checkout, and the cache beside it
	source, cache := filepath.Join(dir, "source"), filepath.Join(dir, "cache", "bottle")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.CopyFS(source, os.DirFS(r.Source)); err != nil {
		b.Fatal(err)
	}
	fill(b, filepath.Join(source, "images/agent/files/usr/local/lib/ballast"), extra)
	for _, kept := range []string{"bases", "npm", "programs", "base.lock"} {
		if err := os.Symlink(filepath.Join(usersCache(b), kept), filepath.Join(cache, kept)); err != nil {
			b.Fatal(err)
		}
	}
	env := rig.Set(r.Env, "BOTTLE_SOURCE="+source, "XDG_CACHE_HOME="+filepath.Dir(cache))
	result, err := rig.RunProgram(b.Context(), execx.Cmd{Path: r.Bottle, Args: []string{"start", "bench-word", "--yes"}, Env: env, Dir: r.Dir})
	if err != nil || result.Code != 0 {
		b.Fatalf("the first start: %v, %s", err, result)
	}
	return env
}

func fill(b *testing.B, path string, size int64) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	_, err = io.CopyN(file, rand.Reader, size)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		b.Fatal(err)
	}
}
