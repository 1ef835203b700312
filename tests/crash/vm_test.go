//go:build integration

package crash

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// TestKilledWithAVM does a few steps of the matrix with the VM tool of this host.
func TestKilledWithAVM(t *testing.T) {
	w := newWorld(t, false)
	for _, at := range []string{
		"creating the machine #1", "starting the machine #1", "undoing the machine ID #1",
	} {
		t.Run(at, func(t *testing.T) {
			w.crash(t, at, "start", "cr-good", "--yes")
			w.check(t, at)
		})
	}
	w.run(t, "start", "cr-good", "--yes")
}

type inspection struct {
	State   string `json:"state"`
	Machine struct {
		State string `json:"state"`
		PID   int    `json:"pid"`
	} `json:"machine"`
	Engine []struct {
		Kind string `json:"kind"`
	} `json:"engine"`
	Sockets []string `json:"sockets"`
}

func (w *world) inspect(t *testing.T, id string) inspection {
	t.Helper()
	var i inspection
	if err := json.Unmarshal([]byte(w.run(t, "inspect", id, "--format=json").Stdout), &i); err != nil {
		t.Fatal(err)
	}
	return i
}

// A VM that dies under a running bottle ends it; the bottle is kept and goes on later.
func TestVMIsKilled(t *testing.T) {
	w := newWorld(t, false)
	var stderr strings.Builder
	o := w.start(t, &stderr, "start", "cr-slow", "--yes")
	id := w.list(t)[0].Identity
	i := w.inspect(t, id)
	if i.State != "running" || i.Machine.State != "running" || i.Machine.PID == 0 || len(i.Engine) != 4 || len(i.Sockets) != 2 {
		t.Errorf("inspect: %+v", i)
	}
	if err := syscall.Kill(i.Machine.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := o.end(t); code != 1 || !strings.HasSuffix(stderr.String(), "bottle: hint:  bottle resume "+id+"\n") {
		t.Errorf("exit %d:\n%s", code, stderr.String())
	}
	if i := w.inspect(t, id); i.State != "stopped" || i.Machine.State != "stopped" || len(i.Engine) != 0 || len(i.Sockets) != 0 {
		t.Errorf("inspect: %+v", i)
	}
	o = w.start(t, nil, "resume", "--yes", id)
	w.run(t, "stop", id)
	o.end(t)
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
