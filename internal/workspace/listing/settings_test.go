package listing_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/workspace/listing"
	"bottle.internal/tests/program"
)

// Every run of the host's git is without the settings of the user and of the system, and
// without what of the repository's starts a program or a fetch.
func TestGitIsToldWhatNotToRead(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "a"}), options(t)
	git(t, dir, "init", "-q")
	git(t, dir, "add", "a")
	git(t, dir, "commit", "-q", "-m", "one")
	told := t.TempDir()
	watched := filepath.Join(told, "git")
	program.Write(t, watched, "#!/bin/sh\n{ echo \"$@\"; env; } >"+told+"/run-$$\nexec "+o.Git+" \"$@\"\n")
	o.Git = watched
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Bundle(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	runs, err := filepath.Glob(told + "/run-*")
	if err != nil || len(runs) < 3 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, run := range runs {
		text, err := os.ReadFile(run)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"-c core.fsmonitor=false ", "-c core.hooksPath=/dev/null ", "-c safe.bareRepository=explicit ", "-c protocol.allow=never ",
			"HOME=/nonexistent\n", "GIT_CONFIG_NOSYSTEM=1\n", "GIT_CONFIG_GLOBAL=/dev/null\n", "GIT_ATTR_NOSYSTEM=1\n", "GIT_NO_LAZY_FETCH=1\n", "GIT_NO_REPLACE_OBJECTS=1\n", "GIT_TERMINAL_PROMPT=0\n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("not %q in %s", strings.TrimSpace(want), text)
			}
		}
	}
}
