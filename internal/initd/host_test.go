//go:build linux

package initd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func TestTheHostMayGo(t *testing.T) {
	t.Parallel()
	port := fakenet.FreePort(t)
	r := startInit(t, quick(), testDaemon("web", "serve", port))
	r.boot(control.Bootstrap{})
	pid := pidOf(t, r.event(control.Started))
	if err := r.host.Close(); err != nil {
		t.Fatal(err)
	}
	r.logged("init| no more word from the host: EOF\n")
	// Events have nowhere to go now: that must not end init either.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the daemon serves without a host", func() bool { got, _ := get(t, port, "/"); return got == "daemon /" })
}

func TestNonsenseFromTheHost(t *testing.T) {
	t.Parallel()
	const line = "control protocol violated: frame of 1195725856 bytes, 1 to 4194304 are allowed"
	t.Run("before the bootstrap", func(t *testing.T) {
		t.Parallel()
		r := startInit(t, quick())
		_, _ = r.stdin.WriteString("GET / HTTP/1.1\r\n\r\n")
		err := r.waitOnce()
		if exit := (*execx.ExitError)(nil); !errors.As(err, &exit) || exit.Code != 1 {
			t.Errorf("init ended with %v", err)
		}
		r.logged("FAILED " + line)
	})
	t.Run("after it", func(t *testing.T) {
		t.Parallel()
		port := fakenet.FreePort(t)
		r := startInit(t, quick(), testDaemon("web", "serve", port))
		r.boot(control.Bootstrap{})
		_, _ = r.stdin.WriteString("GET / HTTP/1.1\r\n\r\n")
		r.logged("init| no more word from the host: " + line + "\n")
		if got, err := get(t, port, "/"); got != "daemon /" || err != nil {
			t.Errorf("the daemon says: %q, %v", got, err)
		}
	})
}

func TestSecondBootstrap(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("web", "inputs", 0), testDaemon("idle", "wait", 0))
	b := control.Bootstrap{Daemons: []string{"web"}, Inputs: map[string]control.Inputs{"web": {"KEY": secret.New("one")}}}
	r.boot(b)
	r.logged("web| inputs: KEY=one")
	b.Inputs["web"] = control.Inputs{"KEY": secret.New("two")}
	r.boot(b)
	r.logged("web| inputs: KEY=two")
	if starts := strings.Count(r.log.String(), "web: start"); starts != 1 {
		t.Errorf("%d starts", starts)
	}
	b.Daemons = []string{"web", "idle"}
	if err := r.host.Bootstrap(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	<-r.host.Ended()
	if err := r.host.Err(); fmt.Sprint(err) != "the bundle's init ended: the bundle's init refused: other daemons are running already" {
		t.Error(err)
	}
}

func TestRefusedBootstrap(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		b    control.Bootstrap
		want string
	}{
		"unknown daemon": {control.Bootstrap{Daemons: []string{"sh"}}, `unknown daemon "sh"`},
		"inputs for nobody": {
			control.Bootstrap{Daemons: []string{}, Inputs: map[string]control.Inputs{"web": {"T": secret.New("x")}}},
			`inputs for "web", which does not run`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startInit(t, quick(), testDaemon("web", "wait", 0))
			if err := r.host.Bootstrap(t.Context(), test.b); err != nil {
				t.Fatal(err)
			}
			err := r.host.WaitReady(t.Context())
			if refused := (*control.RefusedError)(nil); !errors.As(err, &refused) || refused.Text != test.want {
				t.Errorf("WaitReady = %v, want %s", err, test.want)
			}
			if strings.Contains(r.log.String(), "web: start") {
				t.Error("a daemon was started all the same")
			}
		})
	}
}
