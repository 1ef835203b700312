//go:build integration

package gitgate

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Two big pushes in bounded memory: 10,000 commits, and 200 MB that does not compress.
func TestRealBigPushes(t *testing.T) {
	w := newWorld(t, nil)
	w.seed()
	many := w.clone("many")
	w.fastImport(many, "refs/heads/bottle/many", func(out *bufio.Writer) {
		for i := range 10_000 {
			text := fmt.Sprintf("package p%d\n\nfunc f() int { return %d }\n", i%500, i)
			message := fmt.Sprintf("change %d\n", i)
			fmt.Fprintf(out, "commit refs/heads/bottle/many\ncommitter A <a@example.com> %d +0000\ndata %d\n%s", 1_700_000_000+i, len(message), message)
			if i == 0 {
				fmt.Fprintf(out, "from refs/heads/bottle/many^0\n")
			}
			fmt.Fprintf(out, "M 100644 inline d%d/f%d.go\ndata %d\n%s\n", i%50, i%500, len(text), text)
		}
	})
	w.must(many, "push", "-q", "origin", "bottle/many")
	t.Logf("10,000 commits: %v ms; peak of the gate %s, of the largest child %d MiB", *w.events(eventPushAllow)[0].Millis, peak(t), childPeak())

	large := w.clone("large")
	for i := range 10 {
		write(t, fmt.Sprintf("%s/f%d.bin", large, i), noise(20<<20))
	}
	w.commit(large, "z", "z")
	w.must(large, "push", "-q", "origin", "HEAD")
	t.Logf("200 MB: %v ms; peak of the gate %s, of the largest child %d MiB", *w.events(eventPushAllow)[1].Millis, peak(t), childPeak())
	if resident := peakKiB(t); resident > 700<<10 {
		t.Errorf("the gate (with its test) took %d KiB", resident)
	}
}

func (w *world) fastImport(dir, _ string, say func(*bufio.Writer)) {
	w.t.Helper()
	cmd := exec.Command("git", "fast-import", "--quiet", "--force")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	out := bufio.NewWriter(in)
	say(out)
	_ = out.Flush()
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

func peak(t *testing.T) string { return fmt.Sprintf("%d MiB", peakKiB(t)>>10) }

func peakKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	kib := 0
	for text := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(text, "VmHWM:"); ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
	}
	return kib
}

func childPeak() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage)
	return usage.Maxrss >> 10
}
