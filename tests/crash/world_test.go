//go:build integration

package crash

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/smolvmtest"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/smolvm"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
)

// prefix begins the names of all agents here, decoy those of what must survive.
const (
	prefix = "cr-"
	decoy  = "crx-decoy-aaaaa"
	other  = "0123456789abcdef" // an owner that is not us
)

// fakeVersion is no release: what is packed for it is found by nothing else in the cache.
const fakeVersion = "1.999.999"

const manifest = `
[bottles.small]
echo = ["git.bottle.test"]
resources = { memory = "256MiB", cpus = 1 }

[[bottles.small.git.remotes]] # for its volume
name = "app"
upstream = "ssh://git@git.bottle.test/app.git"

[agents.cr-good]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "true"]

[agents.cr-bad]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "exit 7"]

[agents.cr-slow]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "echo up; while true; do sleep 1; done"]
`

func TestMain(m *testing.M) {
	// As the VM tool this binary is called by bottle, which passes only this variable on.
	if dir := os.Getenv("SMOLVM_DATA_DIR"); dir != "" && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test") {
		for name, value := range map[string]string{
			"FAKE_SMOLVM_STATE": dir, "FAKE_SMOLVM_VERSION": fakeVersion, "FAKE_SMOLVM_NAME": smolvm.NameSmolvm,
		} {
			_ = os.Setenv(name, value)
		}
	}
	smolvmtest.Main()
	os.Exit(rig.Main(m, "bottle-crash")) // the decoys of two runs have the same names
}

// world is a rig with a VM tool, an engine, a crashing bottle, and things that are not ours.
type world struct {
	*rig.Rig
	engine  *client.Client
	owner   string
	crasher string
	fake    *smolvm.Client // nil with the real VM tool
}

// newWorld has a fake VM tool, or the one that this host has.
func newWorld(t *testing.T, fake bool) *world {
	t.Helper()
	r, engine := rig.ForTest(t, !fake)
	w := &world{Rig: r, engine: engine, crasher: filepath.Join(r.Dir, "crasher")}
	if err := w.Build(t.Context(), "./tests/crash/testdata/crasher", w.crasher); err != nil {
		t.Fatal(err)
	}
	if err := w.UseManifest(manifest); err != nil {
		t.Fatal(err)
	}
	if fake {
		w.useFake(t)
	}
	if err := os.MkdirAll(filepath.Dir(w.StateDir()), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := state.OpenRoot(w.StateDir())
	if err != nil {
		t.Fatal(err)
	}
	w.owner = root.Owner()
	w.addDecoys(t)
	t.Cleanup(func() { w.reap(t) })
	return w
}

func (w *world) useFake(t *testing.T) {
	fake := smolvmtest.New(t, smolvmtest.Options{Version: fakeVersion})
	w.fake = fake.Client()
	dir := fake.Vars()["FAKE_SMOLVM_STATE"]
	w.VMTool = fake.Path()
	w.Env = rig.Set(w.Env, "BOTTLE_SMOLVM="+fake.Path(), "SMOLVM_DATA_DIR="+dir)
	w.VMEnv = rig.Set(w.Env, "FAKE_SMOLVM_STATE="+dir)
	t.Cleanup(func() { forgetPacks(t, w) })
}

// forgetPacks takes the fake's pack out of the person's cache.
func forgetPacks(t *testing.T, w *world) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	packs := filepath.Join(rig.Dir("XDG_CACHE_HOME", home, ".cache"), "bottle", "packs")
	records, _ := filepath.Glob(filepath.Join(packs, "*.json"))
	for _, record := range records {
		text, err := os.ReadFile(record)
		if err == nil && strings.Contains(string(text), fakeVersion) {
			_ = os.Remove(record)
			_ = os.Remove(strings.TrimSuffix(record, ".json") + ".smolmachine")
		}
	}
}

// addDecoys makes what looks like ours and is not: without our labels, or with those of
// another owner.
func (w *world) addDecoys(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	images, err := w.engine.ImageList(ctx, client.ImageListOptions{All: true})
	if err != nil || len(images.Items) == 0 {
		w.run(t, "images") // the bundle's will do
		images, err = w.engine.ImageList(ctx, client.ImageListOptions{All: true})
	}
	if err != nil || len(images.Items) == 0 {
		t.Fatalf("no image for the decoys: %v", err)
	}
	labels := map[string]string{bundle.LabelIdentity: decoy, bundle.LabelKind: string(bundle.KindBundle), bundle.LabelOwner: other}
	if err := w.makeDecoyResources(ctx, images.Items[0].ID, labels); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.removeDecoyResources(context.WithoutCancel(ctx)) })
	for _, name := range []string{"notes", "cr-good-AAAAA"} {
		if err := os.Mkdir(filepath.Join(w.StateDir(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if w.fake == nil {
		return
	}
	for name, labels := range map[string]map[string]string{
		"bottle-cr-good-aaaaa": nil,
		"bottle-" + decoy:      {"bottle.identity": decoy, "bottle.owner": other},
	} {
		artifact := filepath.Join(w.Dir, "decoy.smolmachine")
		if err := smolvmtest.WriteArtifact(artifact, smolvmtest.Manifest{Image: "decoy"}); err != nil {
			t.Fatal(err)
		}
		if err := w.fake.Create(ctx, smolvm.CreateOptions{Name: name, From: artifact, Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) makeDecoyResources(ctx context.Context, image string, labels map[string]string) error {
	w.removeDecoyResources(ctx)
	for name, labels := range map[string]map[string]string{"bottle-" + decoy: labels, "bottle-crx-plain-aaaaa": nil} {
		options := client.ContainerCreateOptions{Name: name, Config: &container.Config{Image: image, Labels: labels}}
		if _, err := w.engine.ContainerCreate(ctx, options); err != nil {
			return err
		}
		if _, err := w.engine.NetworkCreate(ctx, name, client.NetworkCreateOptions{Labels: labels}); err != nil {
			return err
		}
	}
	return nil
}

func decoyNames() []string { return []string{"bottle-" + decoy, "bottle-crx-plain-aaaaa"} }

func (w *world) removeDecoyResources(ctx context.Context) {
	for _, name := range decoyNames() {
		_, _ = w.engine.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
		_, _ = w.engine.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	}
}

// decoysLive is what is missing of them.
func (w *world) decoysLive(t *testing.T) {
	t.Helper()
	for _, name := range decoyNames() {
		if _, err := w.engine.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{}); err != nil {
			t.Errorf("a container that is not ours: %v", err)
		}
		if _, err := w.engine.NetworkInspect(t.Context(), name, client.NetworkInspectOptions{}); err != nil {
			t.Errorf("a network that is not ours: %v", err)
		}
	}
	for _, name := range []string{"notes", "cr-good-AAAAA"} {
		if _, err := os.Stat(filepath.Join(w.StateDir(), name)); err != nil {
			t.Errorf("a directory that is not ours: %v", err)
		}
	}
	if w.fake == nil {
		return
	}
	for _, name := range []string{"bottle-cr-good-aaaaa", "bottle-" + decoy} {
		if _, err := w.fake.Status(t.Context(), name); err != nil {
			t.Errorf("a machine that is not ours: %v", err)
		}
	}
}

// left is everything of ours that exists.
func (w *world) left(t *testing.T) []string {
	t.Helper()
	left, err := w.Left(t.Context(), w.engine, prefix)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := bundle.List(t.Context(), w.engine, w.owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ours { // volumes too
		left = append(left, string(r.Kind)+" "+r.Name)
	}
	if w.fake != nil {
		machines, err := w.fake.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range machines {
			if m.Labels["bottle.owner"] == w.owner {
				left = append(left, "machine "+m.Name)
			}
		}
	}
	return slices.DeleteFunc(left, func(item string) bool { return strings.HasSuffix(item, "/cr-good-AAAAA") })
}

// reap is for what a failed test left.
func (w *world) reap(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	result, err := w.Run(ctx, "stop", "--all")
	if err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log(result)
	}
	_, _ = w.Run(ctx, "cleanup", "--yes", "--stopped")
}

// crash runs the crashing bottle. With at it must die there, and is gone with all the
// programs that it had started.
func (w *world) crash(t *testing.T, at string, args ...string) (rig.Result, []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "effects")
	result, err := rig.RunProgram(t.Context(), execx.Cmd{
		Path: w.crasher, Args: args, Dir: w.Dir, Env: rig.Set(w.Env, "CRASH_LOG="+log, "CRASH_AT="+at),
	})
	if err != nil {
		t.Fatal(err)
	}
	if at != "" && result.Code != -1 {
		t.Fatalf("it did not die after %q: %s", at, result)
	}
	w.settle(t)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return result, strings.Split(strings.TrimSpace(string(text)), "\n")
}

// settle waits for calls of the VM tool that outlive their caller.
func (w *world) settle(t *testing.T) {
	t.Helper()
	eventually.True(t, "the calls of the VM tool end", func() bool {
		return !slices.ContainsFunc(slices.Collect(maps.Values(rig.CommandLines())), func(line string) bool {
			return strings.HasPrefix(line, w.VMTool+" machine ") && strings.Contains(line, "bottle-"+prefix)
		})
	})
}

// run is a command that must succeed.
func (w *world) run(t *testing.T, args ...string) rig.Result {
	t.Helper()
	result, err := w.Run(t.Context(), args...)
	if err != nil || result.Code != 0 {
		t.Fatalf("bottle %s: %v, %s", strings.Join(args, " "), err, result)
	}
	return result
}

type row struct {
	Identity string `json:"identity"`
	State    string `json:"state"`
	Exit     *int   `json:"exit_code"`
}

// list is what bottle says there is. It complains about the decoys, and must.
func (w *world) list(t *testing.T) []row {
	t.Helper()
	result, err := w.Run(t.Context(), "list", "--format=json")
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != 1 || strings.Count(result.Stderr, "is not ours: it is left alone") != 2 {
		t.Errorf("list: %s", result)
	}
	var rows []row
	if err := json.Unmarshal([]byte(result.Stdout), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// cleanup must succeed, and says of what it left alone.
func (w *world) cleanup(t *testing.T, args ...string) rig.Result {
	t.Helper()
	result := w.run(t, append([]string{"cleanup", "--yes"}, args...)...)
	if strings.Count(result.Stderr, "is not ours: it is left alone") != 2 {
		t.Errorf("cleanup: %s", result)
	}
	return result
}
