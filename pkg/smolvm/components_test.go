package smolvm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/pkg/smolvm"
)

func TestComponentsOfTheStandIn(t *testing.T) {
	t.Parallel()
	machine, err := smolvm.DecodeMachine([]byte(`{"name":"m","components":{"kernel":"/k","initramfs":"/i","odd":"relative"}}`))
	if err != nil {
		t.Fatal(err)
	}
	tool := smolvm.Tool{Name: smolvm.NameLite, Path: "/bin/lite"}
	if got := fmt.Sprint(smolvm.ComponentsOf(tool, "", machine)); got != "[{smolvm-lite /bin/lite} {initramfs /i} {kernel /k}]" {
		t.Error(got)
	}
}

// smolvm is a launcher, a program and libraries; links lead to each of them.
func TestComponentsOfSmolvm(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	install := func(name string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"opt/smolvm", "opt/smolvm-bin", "opt/lib/libkrun.so.1.9", "opt/lib/libkrunfw.so.5", "elsewhere/libkrun.dylib"} {
		install(name)
	}
	link("opt/smolvm", "smolvm")
	link("libkrun.so.1.9", "opt/lib/libkrun.so.1")
	link("nowhere", "opt/lib/libkrun-broken.so")
	tool := smolvm.Tool{Name: smolvm.NameSmolvm, Path: filepath.Join(dir, "smolvm")}
	for libDir, libs := range map[string]string{
		"":                              "{libkrun D/opt/lib/libkrun.so.1.9} {libkrunfw D/opt/lib/libkrunfw.so.5}",
		filepath.Join(dir, "elsewhere"): "{libkrun D/elsewhere/libkrun.dylib}",
	} {
		got := fmt.Sprint(smolvm.ComponentsOf(tool, libDir, smolvm.Machine{}))
		want := "[{smolvm D/smolvm} {smolvm-bin D/opt/smolvm-bin} " + libs + "]"
		if got != strings.ReplaceAll(want, "D/", dir+"/") {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	gone := smolvm.Tool{Name: smolvm.NameSmolvm, Path: "/gone/smolvm"}
	if got := fmt.Sprint(smolvm.ComponentsOf(gone, "", smolvm.Machine{})); got != "[{smolvm /gone/smolvm}]" {
		t.Error(got)
	}
}
