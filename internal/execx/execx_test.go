package execx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
)

func shell(script string) execx.Cmd {
	return execx.Cmd{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	out, err := execx.Output(t.Context(), shell("echo hello; env | grep -c HOME"))
	if string(out) != "hello\n0\n" {
		t.Errorf("stdout = %q: the environment must be the given one only", out)
	}
	var exit *execx.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("err = %v, want exit status 1 of grep", err)
	}
}

func TestExitErrorKeepsARedactedTail(t *testing.T) {
	t.Parallel()
	cmd := shell("head -c 20000 /dev/zero | tr '\\0' x >&2; echo end with hunter2 >&2; exit 7")
	cmd.Redact = []secret.Value{secret.New("hunter2"), {}}
	err := execx.Run(t.Context(), cmd)
	var exit *execx.ExitError
	if !errors.As(err, &exit) || exit.Code != 7 {
		t.Fatalf("err = %v", err)
	}
	if len(exit.Stderr) > 9000 || !strings.HasSuffix(exit.Stderr, "end with [redacted]\n") {
		t.Errorf("tail of %d bytes ends %q", len(exit.Stderr), exit.Stderr[len(exit.Stderr)-40:])
	}
	if !strings.HasPrefix(err.Error(), "sh: exit status 7: ") {
		t.Errorf("message begins %.40q", err.Error())
	}
}

func TestKilledBySignal(t *testing.T) {
	t.Parallel()
	err := execx.Run(t.Context(), shell("kill -9 $$"))
	if got := fmt.Sprint(err); got != "sh: killed by killed" {
		t.Errorf("err = %q", got)
	}
}

func TestCancelInterruptsThenKillsTheGroup(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"obeys":   "trap 'exit 3' INT; sleep 60 & echo $!; wait",
		"ignores": "trap '' INT; sleep 60 & echo $!; wait; sleep 60",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cmd := shell(script)
			cmd.Grace = 200 * time.Millisecond
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = write
			process, err := execx.Start(ctx, cmd)
			if err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 32)
			n, err := read.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := process.Wait(); !errors.Is(err, context.Canceled) {
				t.Errorf("Wait() = %v, want it to be context.Canceled", err)
			}
			eventually.True(t, "the end of the grandchild with its group", func() bool { return !alive(child) })
		})
	}
}

// alive is false for a zombie: whoever adopted it may never reap it.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// slowWriter reads what a program says at its leisure.
type slowWriter struct{ got int }

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(3 * time.Millisecond)
	w.got += len(p)
	return len(p), nil
}

func TestASlowReaderLosesNothing(t *testing.T) {
	t.Parallel()
	var reader slowWriter
	cmd := shell("head -c 1000000 /dev/zero")
	cmd.Stdout, cmd.Grace = &reader, 10*time.Millisecond
	if err := execx.Run(t.Context(), cmd); err != nil || reader.got != 1000000 {
		t.Errorf("read %d bytes, %v", reader.got, err)
	}
}

func TestADaemonThatHoldsThePipesKeepsNobody(t *testing.T) {
	t.Parallel()
	cmd := shell("sleep 20 & echo started")
	cmd.LeavesDaemon, cmd.Grace = true, 50*time.Millisecond
	start := time.Now()
	out, err := execx.Output(t.Context(), cmd)
	if string(out) != "started\n" || !errors.Is(err, execx.ErrWaitDelay) {
		t.Errorf("Output() = %q, %v", out, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	if _, err := execx.Find("no-such-program-of-ours"); !errors.Is(err, execx.ErrNotFound) {
		t.Errorf("Find = %v", err)
	}
	err := execx.Run(t.Context(), execx.Cmd{Path: "no-such-program-of-ours"})
	if !errors.Is(err, execx.ErrNotFound) {
		t.Errorf("Run = %v", err)
	}
}
