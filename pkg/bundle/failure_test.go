package bundle

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

func TestStartFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(f *fakeEngine, s *Spec)
		is      error
		want    string
	}{
		"leftover network": {
			func(f *fakeEngine, s *Spec) {
				_, _ = f.NetworkCreate(t.Context(), KindNetwork.Name(s.Identity), client.NetworkCreateOptions{})
			},
			ErrLeftover, "starting bundle demo-x7k2p: creating network bottle-demo-x7k2p: the name is taken by a leftover of an earlier run",
		},
		"leftover container": {
			func(f *fakeEngine, s *Spec) {
				other := testSpec()
				other.Users, s.Users = nil, nil
				n, _ := f.NetworkCreate(t.Context(), "other", client.NetworkCreateOptions{})
				_, _ = f.ContainerCreate(t.Context(), other.bundleOptions("", n.ID))
			},
			ErrLeftover, "starting bundle demo-x7k2p: creating container bottle-demo-x7k2p: the name is taken by a leftover of an earlier run: Conflict. The container name is in use",
		},
		"leftover volume": {
			func(f *fakeEngine, s *Spec) { f.volumes[KindVolume.Name(s.Identity)] = map[string]string{} },
			ErrLeftover, "starting bundle demo-x7k2p: creating volume bottle-demo-x7k2p-volume: the name is taken by a leftover of an earlier run",
		},
		"no image": {
			func(_ *fakeEngine, s *Spec) { s.Image = "missing" },
			ErrNoImage, "starting bundle demo-x7k2p: creating container bottle-demo-x7k2p: the engine has no such image: No such image: missing",
		},
		"no subnet": {
			func(f *fakeEngine, _ *Spec) {
				f.answers = []error{errors.New("could not find an available, non-overlapping IPv4 address pool among the defaults")}
			},
			ErrNoSubnet, "starting bundle demo-x7k2p: creating network bottle-demo-x7k2p: the engine has no subnet left for another network: could not find an available, non-overlapping IPv4 address pool among the defaults",
		},
		"ends at once": {
			func(f *fakeEngine, _ *Spec) { f.dies = true },
			nil, "starting bundle demo-x7k2p: the container ended at once with exit status 3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, spec := newFake(t), testSpec()
			test.prepare(f, &spec)
			before := f.left()
			_, err := Start(t.Context(), f, spec)
			if fmt.Sprint(err) != test.want || (test.is != nil && !errors.Is(err, test.is)) {
				t.Errorf("Start = %v, want %s", err, test.want)
			}
			if left := f.left(); left != before {
				t.Errorf("before: %s; after: %s", before, left)
			}
		})
	}
}

func TestOverlapIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	overlap := errors.New("Pool overlaps with other one on this address space")
	f.answers = []error{overlap, overlap}
	mustStart(t, f, testSpec())
	if got := strings.Count(strings.Join(f.calls, ";"), "network create"); got != 3 {
		t.Errorf("%d tries", got)
	}
	f = newFake(t)
	f.answers = []error{overlap, overlap, overlap, overlap, overlap, nil}
	if _, err := Start(t.Context(), f, testSpec()); !errors.Is(err, overlap) {
		t.Errorf("Start = %v", err)
	}
}

func TestSpecProblemsAreAllReported(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	_, err := Start(t.Context(), f, Spec{
		Identity: "../demo-x7k2p", Owner: "a b", MemoryMiB: -1, Users: []User{{UID: 0, RunDir: "/tmp"}},
		Echo: &Echo{Aliases: []string{"UPPER", "ok.test"}},
	})
	want := strings.Join([]string{
		`starting a bundle: identity "../demo-x7k2p": it looks like demo-x7k2p`,
		`owner "a b": 1 to 64 letters, digits, dots, dashes`,
		"image: it is empty",
		"memory and pids: none may be negative",
		`user 0 with "/tmp": daemons are not root and live below /run`,
		"echo image: it is empty",
		`echo alias "UPPER": it is no host name`,
	}, "\n")
	if fmt.Sprint(err) != want || len(f.calls) > 0 {
		t.Errorf("Start = %v after %q", err, f.calls)
	}
}

func TestEngineDown(t *testing.T) {
	t.Setenv(client.EnvOverrideHost, "")
	missing := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	engine, err := client.New(client.WithHost(missing))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), engine, testSpec()); !errors.Is(err, ErrEngineDown) {
		t.Errorf("Start = %v", err)
	}
	if _, err := attach(t.Context(), engine, "x", io.Discard); !errors.Is(err, ErrEngineDown) {
		t.Errorf("attach = %v", err)
	}
	if _, err := List(t.Context(), engine, "me"); !errors.Is(err, ErrEngineDown) {
		t.Errorf("List = %v", err)
	}
	t.Setenv(client.EnvOverrideHost, missing)
	if _, err := Connect(t.Context(), "", "/nowhere.sock"); !errors.Is(err, ErrEngineDown) || !strings.HasPrefix(err.Error(), "reaching the Docker Engine: the Docker Engine does not answer: ") {
		t.Errorf("Connect = %v", err)
	}
}
