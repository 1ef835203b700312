//go:build integration

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/integration/rig"
)

const manifest = `
[bottles.small]

[agents.bench-true]
bottle = "small"
template = "shell"
command = ["true"]

[agents.bench-word]
bottle = "small"
template = "shell"
command = ["echo", "word"]

[agents.bench-idle]
bottle = "small"
template = "shell"
command = ["sleep", "86399"]

[agents.bench-claude]
bottle = "small"
template = "claude"
`

var place struct {
	once sync.Once
	rig  *rig.Rig
	err  error
}

func TestMain(m *testing.M) {
	if address := os.Getenv(dialEnv); address != "" {
		os.Exit(dial(context.Background(), address))
	}
	before := load()
	code := m.Run()
	if place.rig != nil {
		if err := leave(place.rig); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = max(code, 1)
		}
	}
	if len(table.Results) > 0 || table.Waterfall != nil {
		table.Machine, table.Load = machine(), before+" and "+load()
		table.print(os.Stdout)
		if err := table.save(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// leave removes everything, whatever a benchmark that failed has left.
func leave(r *rig.Rig) error {
	ctx := context.Background()
	engine, err := rig.Engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := r.Reap(ctx, engine, "bench-"); err != nil {
		return err
	}
	return r.Close()
}

// prepared has everything built and cached, so that what is measured is a warm machine.
func prepared(b *testing.B) *rig.Rig {
	b.Helper()
	place.once.Do(func() { place.rig, place.err = prepare(b.Context()) })
	if place.err != nil {
		if os.Getenv("BOTTLE_REQUIRE") != "" {
			b.Fatal(place.err)
		}
		b.Skip(place.err)
	}
	return place.rig
}

func prepare(ctx context.Context) (*rig.Rig, error) {
	engine, err := rig.Engine(ctx)
	if err != nil {
		return nil, err
	}
	if err := engine.Close(); err != nil {
		return nil, err
	}
	r, err := rig.New(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.UseManifest(manifest); err != nil {
		return r, err
	}
	// One whole start: it also probes the accelerator and loads the bundle's image.
	result, err := r.Run(ctx, "start", "bench-true", "--yes")
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("a first start: %s", result)
	}
	return r, err
}

// bottle runs a command of bottle that must succeed.
func bottle(b *testing.B, r *rig.Rig, args ...string) rig.Result {
	b.Helper()
	result, err := r.Run(b.Context(), args...)
	if err != nil || result.Code != 0 {
		b.Fatalf("bottle %s: %v, %s", strings.Join(args, " "), err, result)
	}
	return result
}

// vm runs a command of the VM tool that must succeed.
func vm(b *testing.B, r *rig.Rig, args ...string) {
	b.Helper()
	// The working directory and the streams are as in bottle's own calls.
	result, err := rig.RunProgram(b.Context(), execx.Cmd{Path: r.VMTool, Args: args, Env: r.VMEnv, Dir: r.Dir})
	if err != nil || result.Code != 0 {
		b.Fatalf("%s %s: %v, %s", r.VMTool, strings.Join(args, " "), err, result)
	}
}

// artifact is the pack that bottle boots.
func artifact(b *testing.B, r *rig.Rig) string {
	b.Helper()
	var images []struct{ Name, Path string }
	if err := json.Unmarshal([]byte(bottle(b, r, "images", "--format=json").Stdout), &images); err != nil {
		b.Fatal(err)
	}
	for _, image := range images {
		if image.Name == "agent" {
			return image.Path
		}
	}
	b.Fatal("there is no agent image")
	return ""
}

// BenchmarkImagesUnchanged is the second `bottle images`: it reads records and builds
// nothing. The rest of its time is that of the Go toolchain, which says that our own
// programs have not changed.
func BenchmarkImagesUnchanged(b *testing.B) {
	r := prepared(b)
	bottle(b, r, "images")
	compare(b, runs(b, 7),
		timed("second bottle images", func(b *testing.B) {
			if out := bottle(b, r, "images").Stdout; strings.Count(out, "unchanged") != 2 {
				b.Fatalf("not unchanged: %s", out)
			}
		}),
		timed("process start: bottle help", func(b *testing.B) { bottle(b, r, "help") }),
		goal{"ours at most 1 s", func(ours, _ float64) bool { return ours <= 1000 }})
}

// BenchmarkStart is a whole `bottle start` with everything cached, teardown and receipt
// included, over the same machine made by hand: created, started, used and deleted.
func BenchmarkStart(b *testing.B) {
	r := prepared(b)
	pack, n := artifact(b, r), 0
	compare(b, runs(b, 7),
		timed("bottle start, command true", func(b *testing.B) { bottle(b, r, "start", "bench-true", "--yes") }),
		timed("create + start + exec true + delete", func(b *testing.B) {
			n++
			name := fmt.Sprintf("bottle-bench-by-hand-%d", n)
			vm(b, r, "machine", "create", "--name", name, "--from", pack, "--cpus", "2", "--mem", "1024", "--overlay", "10")
			vm(b, r, "machine", "start", "--name", name)
			vm(b, r, "machine", "exec", "--name", name, "-i", "--", "true")
			vm(b, r, "machine", "delete", "--name", name, "--force")
		}),
		goal{"ratio at most 1.25", func(ours, against float64) bool { return ours <= 1.25*against }})
}

// BenchmarkStartToEnd is a `bottle start` until its agent's only word is there, over the same
// by hand: neither side's teardown counts.
func BenchmarkStartToEnd(b *testing.B) {
	r := prepared(b)
	pack, n := artifact(b, r), 0
	compare(b, runs(b, 7),
		step{"bottle start, until the agent has spoken", func(b *testing.B) time.Duration {
			return spoken(b, time.Now(), execx.Cmd{Path: r.Bottle, Args: []string{"start", "bench-word", "--yes"}, Env: r.Env, Dir: r.Dir})
		}},
		step{"create + start + exec, until it has spoken", func(b *testing.B) time.Duration {
			n++
			name := fmt.Sprintf("bottle-bench-word-%d", n)
			begin := time.Now()
			vm(b, r, "machine", "create", "--name", name, "--from", pack, "--cpus", "2", "--mem", "1024", "--overlay", "10")
			vm(b, r, "machine", "start", "--name", name)
			took := spoken(b, begin, execx.Cmd{
				Path: r.VMTool, Args: []string{"machine", "exec", "--name", name, "-i", "--", "echo", "word"}, Env: r.VMEnv, Dir: r.Dir,
			})
			vm(b, r, "machine", "delete", "--name", name, "--force")
			return took
		}},
		goal{"ratio at most 1.15", func(ours, against float64) bool { return ours <= 1.15*against }})
}

// spoken runs a command to its end, and says when the word came.
func spoken(b *testing.B, begin time.Time, cmd execx.Cmd) (took time.Duration) {
	b.Helper()
	cmd.Stdout = writerFunc(func(p []byte) {
		if took == 0 && strings.Contains(string(p), "word") {
			took = time.Since(begin)
		}
	})
	cmd.Stderr = io.Discard
	if err := execx.Run(b.Context(), cmd); err != nil || took == 0 {
		b.Fatalf("%s %s: %v, the word came after %v", cmd.Path, strings.Join(cmd.Args, " "), err, took)
	}
	return took
}

type writerFunc func(p []byte)

func (w writerFunc) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// BenchmarkExec is the round trip of a trivial command in a running machine.
func BenchmarkExec(b *testing.B) {
	r := prepared(b)
	const name = "bottle-bench-exec"
	vm(b, r, "machine", "create", "--name", name, "--from", artifact(b, r), "--cpus", "2", "--mem", "1024", "--overlay", "10")
	defer vm(b, r, "machine", "delete", "--name", name, "--force")
	vm(b, r, "machine", "start", "--name", name)
	vm(b, r, "machine", "exec", "--name", name, "-i", "--", "/bin/true")
	compare(b, runs(b, 25),
		timed("machine exec /bin/true", func(b *testing.B) { vm(b, r, "machine", "exec", "--name", name, "-i", "--", "/bin/true") }),
		timed("the tool's --version", func(b *testing.B) { vm(b, r, "--version") }),
		goal{"ours at most 50 ms more", func(ours, against float64) bool { return ours-against <= 50 }})
}

// BenchmarkBottleExec is the same into a running bottle, over the tool's own exec.
func BenchmarkBottleExec(b *testing.B) {
	r := prepared(b)
	id := strings.TrimSpace(bottle(b, r, "start", "bench-idle", "--yes", "--detach").Stdout)
	defer bottle(b, r, "stop", id)
	bottle(b, r, "exec", id, "--", "/bin/true")
	compare(b, runs(b, 25),
		timed("bottle exec /bin/true", func(b *testing.B) { bottle(b, r, "exec", id, "--", "/bin/true") }),
		timed("machine exec /bin/true", func(b *testing.B) {
			vm(b, r, "machine", "exec", "--name", "bottle-"+id, "-i", "--", "/bin/true")
		}),
		goal{"ours at most 150 ms more", func(ours, against float64) bool { return ours-against <= 150 }})
}
