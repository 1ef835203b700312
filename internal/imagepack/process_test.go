package imagepack_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/imagepack"
)

// childDir makes this test binary a second bottle that packs into that cache.
const childDir = "BOTTLE_IMAGEPACK_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		childMain(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// childMain prints what happens, waits for a line on stdin while it packs, and prints
// the artifact.
func childMain(dir string) {
	tool := &packer{before: func(context.Context, string) error {
		fmt.Println("packing")
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return err
	}}
	store := imagepack.NewStore(imagepack.Config{
		CacheDir: dir, Packer: tool, Platform: platform, Events: event.NewPlain(os.Stdout),
	})
	artifact, err := store.Ensure(context.Background(), new(counted).image("one"))
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	raw, err := json.Marshal(artifact)
	fmt.Println("artifact", string(raw), err)
}

// child is a running second bottle.
type child struct {
	process *execx.Process
	lines   *bufio.Scanner
	stdin   io.Writer
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	inRead, inWrite, err := os.Pipe()
	must(t, err)
	outRead, outWrite, err := os.Pipe()
	must(t, err)
	process, err := execx.Start(t.Context(), execx.Cmd{
		Path: self, Env: append(os.Environ(), childDir+"="+dir), Stdin: inRead, Stdout: outWrite, Stderr: os.Stderr,
	})
	must(t, err)
	must(t, inRead.Close())
	must(t, outWrite.Close())
	t.Cleanup(func() { _, _ = inWrite.Close(), outRead.Close() })
	return &child{process, bufio.NewScanner(outRead), inWrite}
}

// until reads the child's lines up to one with that beginning.
func (c *child) until(t *testing.T, prefix string) string {
	t.Helper()
	var seen []string
	for c.lines.Scan() {
		if rest, ok := strings.CutPrefix(c.lines.Text(), prefix); ok {
			return rest
		}
		seen = append(seen, c.lines.Text())
	}
	t.Fatalf("the child never said %q but:\n%s", prefix, strings.Join(seen, "\n"))
	return ""
}

func (c *child) artifact(t *testing.T) imagepack.Artifact {
	t.Helper()
	var artifact imagepack.Artifact
	must(t, json.NewDecoder(strings.NewReader(c.until(t, "artifact "))).Decode(&artifact))
	must(t, c.process.Wait())
	return artifact
}

func TestTwoProcessesPackOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	winner := startChild(t, dir)
	winner.until(t, "packing")
	loser := startChild(t, dir)
	// Which process to blame is in the message.
	loser.until(t, fmt.Sprintf("pack: agent: waiting for process %d, which is making the same image", winner.process.Pid()))
	_, err := io.WriteString(winner.stdin, "\n")
	must(t, err)
	one, two := winner.artifact(t), loser.artifact(t)
	if one.Cached || !two.Cached || one.SHA256 != two.SHA256 || one.Path != two.Path {
		t.Errorf("artifacts:\n%+v\n%+v", one, two)
	}
}

func TestDeadOwnerReleasesTheLockAndIsSwept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	victim := startChild(t, b.dir)
	victim.until(t, "packing")
	temp := filepath.Join(b.dir, "packs", "tmp.*")
	if found, err := filepath.Glob(temp); err != nil || len(found) == 0 {
		t.Fatalf("the child has no temporary files to leave: %v, %v", found, err)
	}
	// Another image does not wait, and does not touch what is in use.
	if _, err := b.store().Ensure(t.Context(), b.built.image("two")); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(temp); err != nil || len(found) == 0 {
		t.Fatalf("the running child's temporary files are gone: %v, %v", found, err)
	}
	must(t, victim.process.Signal(syscall.SIGKILL))
	if err := victim.process.Wait(); err == nil {
		t.Fatal("the child survived")
	}
	// Foreign files are not ours to remove.
	foreign := filepath.Join(b.dir, "packs", "tmp.of-somebody-else")
	write(t, foreign, "")
	if artifact, err := b.store().Ensure(t.Context(), b.built.image("two")); err != nil || !artifact.Cached {
		t.Errorf("artifact: %+v, %v", artifact, err)
	}
	if found, err := filepath.Glob(temp); err != nil || len(found) != 1 || found[0] != foreign {
		t.Errorf("after the sweep: %v, %v", found, err)
	}
	must(t, os.Remove(foreign))
	if artifact := b.ensure(t, "one"); artifact.Cached {
		t.Errorf("artifact: %+v", artifact)
	}
}
