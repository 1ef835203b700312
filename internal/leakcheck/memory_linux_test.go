package leakcheck

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"bottle.internal/internal/execx"
)

// A VMM's children were started by any of its threads.
func TestChildrenOfEveryThread(t *testing.T) {
	t.Parallel()
	var ended sync.WaitGroup
	defer ended.Wait()
	for range 4 {
		stdin, end := io.Pipe()
		defer end.Close()
		stdout, held := io.Pipe()
		ended.Go(func() {
			runtime.LockOSThread() // and never unlock it: another thread for each
			_ = execx.Run(t.Context(), execx.Cmd{Path: "/bin/sh", Args: []string{"-c", "echo $$; read x"}, Stdin: stdin, Stdout: held})
		})
		var pid int
		if _, err := fmt.Fscan(stdout, &pid); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(children(os.Getpid()), pid) {
			t.Errorf("%d is not among %v", pid, children(os.Getpid()))
		}
	}
}

func TestWritable(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"7f00-7f10 rw-p 00000000 00:00 0":  "7f00 7f10 true",
		"7f00-7f10 r-xp 00000000 08:01 12": "0 0 false",
		"7f00 rw-p":                        "7f00 0 false",
		"zz-7f10 rw-s":                     "0 7f10 false",
		"":                                 "0 0 false",
	} {
		begin, end, ok := writable(line)
		if got := fmt.Sprintf("%x %x %v", begin, end, ok); got != want {
			t.Errorf("writable(%q) = %s, want %s", line, got, want)
		}
	}
}
