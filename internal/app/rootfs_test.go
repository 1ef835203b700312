package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/pkg/smolvm"
)

// installation is a smolvm with the root that all of its machines share. The tool writes
// into the root that it is given, as a guest could, and notes which that was.
func installation(t *testing.T) (client *smolvm.Client, root, log string) {
	t.Helper()
	dir := t.TempDir()
	root, log = filepath.Join(dir, "agent-rootfs"), filepath.Join(dir, "log")
	for name, mode := range map[string]os.FileMode{"bin/tool": 0o755, "etc/shadow": 0o600} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("original"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin/agent", filepath.Join(root, "sbin/init")); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
case "$1 $2" in
"machine create"|"machine start"|"pack create")
	echo "$1 $2 $SMOLVM_AGENT_ROOTFS" >> ` + log + `
	echo hostile > "$SMOLVM_AGENT_ROOTFS/bin/tool"
	test "$1" = machine || echo pack > "$6.smolmachine" ;;
esac
echo '{"name": "m", "state": "running", "network": false}'
`
	if err := os.WriteFile(filepath.Join(dir, "smolvm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	version, err := smolvm.ParseVersion("1.9.3")
	if err != nil {
		t.Fatal(err)
	}
	return smolvm.New(smolvm.Config{
		Tool: smolvm.Tool{Name: smolvm.NameSmolvm, Path: filepath.Join(dir, "smolvm"), Version: version}, Env: []string{"PATH=/usr/bin:/bin"},
	}), root, log
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryMachineHasItsOwnRoot(t *testing.T) {
	a := newApp(t)
	a.config.UID, a.config.OS = 1000, "linux"
	client, root, log := installation(t)
	if got := client.AgentRootfs(); got != root {
		t.Fatalf("the root is %q, want %q", got, root)
	}
	instance := instanceOf(t, a, "demo-aaaaa", 0)
	machine, shares := a.machineOf(client, "demo-aaaaa")
	if fmt.Sprint(shares) != "[/dev/root=rw smolvm_layers=ro]" {
		t.Errorf("shares %q", shares)
	}
	own := filepath.Join(instance.Dir(), "agent-rootfs")
	if err := machine.Start(t.Context(), "m"); err != nil { // of a bottle of an older version
		t.Fatal(err)
	}
	if err := machine.Create(t.Context(), smolvm.CreateOptions{Name: "m", From: "/pack"}); err != nil {
		t.Fatal(err)
	}
	if err := machine.Start(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	if want := strings.Join([]string{"machine start " + own, "machine create " + own, "machine start " + own, ""}, "\n"); read(t, log) != want {
		t.Errorf("got\n%swant\n%s", read(t, log), want)
	}
	if got := read(t, filepath.Join(root, "bin/tool")); got != "original" {
		t.Errorf("a machine changed everybody's root: %q", got)
	}
	if info, err := os.Lstat(filepath.Join(own, "etc/shadow")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if to, err := os.Readlink(filepath.Join(own, "sbin/init")); to != "/usr/bin/agent" || err != nil {
		t.Errorf("%q, %v", to, err)
	}
	if got := fmt.Sprint(a.sharesOf(client, instance)); got != "[/dev/root=rw smolvm_layers=ro]" {
		t.Error(got)
	}
	if err := instance.Remove(); err != nil {
		t.Error(err)
	}
}

// Without a copy no write may pass: the receipt tries one.
func TestWhoHasNoRootOfItsOwn(t *testing.T) {
	client, _, _ := installation(t)
	lite := smolvm.New(smolvm.Config{Tool: smolvm.Tool{Name: smolvm.NameLite}})
	for _, test := range []struct {
		client *smolvm.Client
		uid    int
		goos   string
		want   string
	}{
		{client, 0, "linux", "[/dev/root=ro smolvm_layers=ro]"},
		{smolvm.New(smolvm.Config{Tool: smolvm.Tool{Name: smolvm.NameSmolvm, Path: "/nonexistent"}}), 1000, "darwin", "[/dev/root=ro smolvm_layers=rw]"},
		{lite, 1000, "linux", "[]"},
	} {
		a := newApp(t)
		a.config.UID, a.config.OS = test.uid, test.goos
		machine, shares := a.machineOf(test.client, "demo-aaaaa")
		if _, plain := machine.(*smolvm.Client); !plain || fmt.Sprint(shares) != test.want {
			t.Errorf("%T, %q, want %s", machine, shares, test.want)
		}
	}
}

func TestEveryPackHasItsOwnRoot(t *testing.T) {
	client, root, log := installation(t)
	dir := t.TempDir()
	if err := (packer{client: client, ownRoot: true}).PackCreate(t.Context(), "127.0.0.1:1/x", filepath.Join(dir, "image"), "linux/amd64", io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := read(t, log); got != "pack create "+filepath.Join(dir, "agent-rootfs")+"\n" {
		t.Error(got)
	}
	if got := read(t, filepath.Join(root, "bin/tool")); got != "original" {
		t.Errorf("a packing machine changed everybody's root: %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "agent-rootfs")); !os.IsNotExist(err) {
		t.Errorf("the copy is still there: %v", err)
	}
}
