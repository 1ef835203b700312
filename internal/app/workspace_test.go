package app

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/workspace/transfer"
)

func TestNoWorkspace(t *testing.T) {
	a := newApp(t)
	for dir, want := range map[string]string{
		"/": "/ is no workspace", a.dirs.home: a.dirs.home + " is no workspace", "missing": "there is no directory to copy in: lstat " + a.dirs.home + "/missing: no such file or directory",
	} {
		if _, err := a.planWorkspace(t.Context(), WorkspaceRequest{Dir: dir, History: "head"}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", dir, err, want)
		}
	}
	defer instanceOf(t, a, "demo-aaaaa", 0).Unlock()
	for dir, want := range map[string]string{
		"": "nothing was copied into demo-aaaaa: where to?", "missing": "there is no directory to copy out to: lstat " + a.dirs.home + "/missing: no such file or directory",
	} {
		if _, err := a.CopyOut(t.Context(), "demo-aaaaa", dir); err == nil || err.Error() != want {
			t.Errorf("copying out to %q: %v, want %s", dir, err, want)
		}
	}
}

// What was planned is what goes in.
func TestFill(t *testing.T) {
	a := newApp(t)
	dir := filepath.Join(a.dirs.home, "project")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", ".env", "secret.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := a.planWorkspace(t.Context(), WorkspaceRequest{Dir: "project", Include: []string{".env"}, History: "head"})
	if err != nil {
		t.Fatal(err)
	}
	instance := instanceOf(t, a, "demo-aaaaa", 0)
	defer instance.Unlock()
	p := plan.Plan{Identity: "demo-aaaaa", Workdir: "/work", Workspace: w}
	err = a.fill(p)(t.Context(), func(_ context.Context, _ guestexec.Command, stdio guestexec.Stdio) (int, error) {
		_, err := io.Copy(io.Discard, stdio.Stdin)
		return 0, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if record, err := transfer.ReadRecord(instance); err != nil || record.Dir != w.Dir || record.Guest != "/work" || record.Files != 2 || w.Files != 2 {
		t.Errorf("%+v, %v; planned %+v", record, err, w)
	}
}
