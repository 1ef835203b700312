package app

import "testing"

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
