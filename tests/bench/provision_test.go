//go:build integration

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
	ports "bottle.internal/internal/plan"
	"bottle.internal/pkg/provision"
	"bottle.internal/tests/integration/rig"
)

// door installs archives in a machine as a launch does, but sends them at once.
type door struct {
	rig  *rig.Rig
	name string
}

func (d door) Install(ctx context.Context, archive []byte, stderr io.Writer) (int, error) {
	args := append([]string{"machine", "exec", "--name", d.name, "-i", "--"}, guestapi.ProvisionArgs(guestapi.NewNonce(), ports.PortFirewall)...)
	err := execx.Run(ctx, execx.Cmd{
		Path: d.rig.VMTool, Args: args, Env: d.rig.VMEnv, Dir: d.rig.Dir, Stdout: io.Discard, Stderr: stderr,
		Stdin: io.MultiReader(strings.NewReader("[]\n"), bytes.NewReader(archive)), // no probes before it
	})
	if exit, ok := errors.AsType[*execx.ExitError](err); ok {
		return exit.Code, nil
	}
	return 0, err
}

// healthy answers on a socket of the host, as the firewall would.
func healthy(b *testing.B, path string) {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "unix", path)
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	b.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// skills is an input with one skill of so many files.
func skills(b *testing.B, files int) provision.Rendered {
	b.Helper()
	tree := fstest.MapFS{}
	for i := range files {
		tree[fmt.Sprintf("dir%d/file%d.md", i%7, i)] = &fstest.MapFile{Data: bytes.Repeat([]byte("words\n"), 300), Mode: 0o644}
	}
	rendered, err := provision.Render(provision.Input{Skills: []provision.Skill{{Name: "bench", FS: fs.FS(tree)}}})
	if err != nil {
		b.Fatal(err)
	}
	return rendered
}

// BenchmarkSkillFiles is the provisioning of a machine that has just started, its proof
// included, with 100 skill files over the same with one.
func BenchmarkSkillFiles(b *testing.B) {
	r := prepared(b)
	pack, n := artifact(b, r), 0
	socket := filepath.Join(r.Dir, "f.sock")
	healthy(b, socket)
	provisioning := func(files int) step {
		rendered := skills(b, files)
		return step{fmt.Sprintf("provisioning, skill of %d files", files), func(b *testing.B) time.Duration {
			n++
			name := fmt.Sprintf("bottle-bench-skills-%d", n)
			vm(b, r, "machine", "create", "--name", name, "--from", pack, "--cpus", "2", "--mem", "1024", "--overlay", "10",
				"--mount-socket", socket+":"+guestapi.SocketPath(ports.PortFirewall))
			defer vm(b, r, "machine", "delete", "--name", name, "--force")
			vm(b, r, "machine", "start", "--name", name)
			begin := time.Now()
			if err := provision.Apply(b.Context(), door{r, name}, rendered); err != nil {
				b.Fatal(err)
			}
			return time.Since(begin)
		}}
	}
	compare(b, runs(b, 5), provisioning(100), provisioning(1),
		goal{"ratio at most 1.5", func(ours, against float64) bool { return ours <= 1.5*against }})
}
