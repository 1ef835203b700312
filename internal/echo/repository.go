package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/execx"
)

const (
	maxRepositories = 8
	maxPush         = "8388608" // bytes of one pack; the container's /tmp has 16 MiB
	maxRefsShown    = 32
)

var repositoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}\.git$`)

// firstCommit is what every repository begins with, in the language of git fast-import.
// The date is fixed, so that the commit is the same everywhere.
const firstCommit = `commit refs/heads/main
committer bottle <echo@bottle.test> 1767225600 +0000
data <<.
Begin
.
M 100644 inline README.md
data <<.
This repository is behind the git gate.
.
done
`

// repositories are bare ones in one temporary directory.
type repositories struct {
	dir   string
	names []string
}

func newRepositories(ctx context.Context, names []string) (_ *repositories, err error) {
	if len(names) == 0 || len(names) > maxRepositories {
		return nil, fmt.Errorf("%d repositories, want 1 to %d", len(names), maxRepositories)
	}
	for i, name := range names {
		if !repositoryName.MatchString(name) || slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%.64q is not the name of a repository, or there twice", name)
		}
	}
	dir, err := os.MkdirTemp("", "git")
	if err != nil {
		return nil, fmt.Errorf("making a place for the repositories: %w", err)
	}
	r := &repositories{dir: dir, names: slices.Clone(names)}
	defer func() {
		if err != nil {
			r.remove()
		}
	}()
	for _, name := range names {
		if err := r.create(ctx, name); err != nil {
			return nil, fmt.Errorf("making %s: %w", name, err)
		}
	}
	return r, nil
}

func (r *repositories) remove() { _ = os.RemoveAll(r.dir) }

func (r *repositories) path(name string) string { return filepath.Join(r.dir, name) }

func (r *repositories) create(ctx context.Context, name string) error {
	if err := execx.Run(ctx, r.git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", r.path(name))); err != nil {
		return err
	}
	commit := r.git("--git-dir="+r.path(name), "fast-import", "--quiet", "--done", "--date-format=raw")
	commit.Stdin = strings.NewReader(firstCommit)
	return execx.Run(ctx, commit)
}

// git is one run of git that reads no configuration but its repository's, and runs no hook.
func (r *repositories) git(args ...string) execx.Cmd {
	return execx.Cmd{
		Path: "git",
		Args: append([]string{
			"-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "receive.autogc=false",
			"-c", "receive.maxInputSize=" + maxPush, "-c", "transfer.fsckObjects=true",
		}, args...),
		Dir: r.dir,
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		},
		Grace: grace,
	}
}

// command finds what an exec request asks for. The requests are compared whole, as git
// writes them, so nothing of them is ever taken apart.
func (r *repositories) command(request string) (command, name string, ok bool) {
	for _, name := range r.names {
		for _, command := range []string{"upload-pack", "receive-pack"} {
			if request == fmt.Sprintf("git-%s '/%s'", command, name) {
				return command, name, true
			}
		}
	}
	return "", "", false
}

// gitLine is the log's line of one git command.
type gitLine struct {
	Event      string            `json:"event"`
	Time       time.Time         `json:"time"`
	Repository string            `json:"repository"`
	Command    string            `json:"command"`
	Exit       int               `json:"exit"`
	Refs       map[string]string `json:"refs"` // afterwards
}

// run serves one command between in, out and problems and returns its exit status.
func (r *repositories) run(ctx context.Context, command, name string, stream stream) int {
	cmd := r.git(command, r.path(name))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stream.in, stream.out, stream.problems
	err := execx.Run(ctx, cmd)
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) && exit.Code > 0 {
		return exit.Code
	}
	if err != nil {
		return 128
	}
	return 0
}

type stream struct {
	in            *os.File // a file, so that the end of git does not wait for more input
	out, problems io.Writer
}

// refs lists the first refs of a repository; nil if that fails.
func (r *repositories) refs(ctx context.Context, name string) map[string]string {
	list, err := execx.Output(ctx, r.git("--git-dir="+r.path(name), "for-each-ref", fmt.Sprintf("--count=%d", maxRefsShown), "--format=%(refname) %(objectname)"))
	if err != nil {
		return nil
	}
	refs := map[string]string{}
	for line := range bytes.Lines(list) {
		ref, object, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		refs[ascii(ref)] = ascii(object)
	}
	return refs
}
