package provision_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/pkg/provision"
)

// turned is a tree in which a file became a pipe after its directory was listed.
type turned struct{ fstest.MapFS }

func (t turned) Open(name string) (fs.File, error) {
	if name == "." {
		return t.MapFS.Open(name)
	}
	return fstest.MapFS{name: {Mode: fs.ModeNamedPipe, Data: []byte("x")}}.Open(name)
}

// ReadDir still tells what was there.
func (t turned) ReadDir(name string) ([]fs.DirEntry, error) { return t.MapFS.ReadDir(name) }

// What is read is judged as it was opened, not as it was listed.
func TestSkillFileIsTurnedIntoAPipe(t *testing.T) {
	t.Parallel()
	_, err := provision.Render(provision.Input{Skills: []provision.Skill{{Name: "review", FS: turned{fstest.MapFS{"SKILL.md": {Data: []byte("x")}}}}}})
	if err == nil || !strings.Contains(err.Error(), "SKILL.md is not a regular file") {
		t.Errorf("%v", err)
	}
}
