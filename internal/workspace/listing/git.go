package listing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/walk"
)

// MaxHistory bounds the bundle of commits.
const MaxHistory = 512 << 20

// git runs the host's git on the host's own repository.
type git struct {
	program, dir, path string
}

func newGit(dir string, options Options) git {
	return git{program: options.Git, dir: dir, path: options.Path}
}

// command is a git that reads no configuration but the repository's, and of that nothing
// which runs a program: no monitor, no hook, no pager, no fetch of what is missing.
func (g git) command(args ...string) execx.Cmd {
	return execx.Cmd{
		Path: g.program, Dir: g.dir,
		Args: append([]string{
			"--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit",
			"-c", "protocol.allow=never", "-c", "core.untrackedCache=false",
		}, args...),
		Env: []string{
			"PATH=" + g.path, "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_ATTR_NOSYSTEM=1",
		},
	}
}

// line is the one line that git answers with; ok is false where it has none.
func (g git) line(ctx context.Context, args ...string) (text string, ok bool, err error) {
	out, err := execx.Output(ctx, g.command(args...))
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) && exit.Code > 0 && ctx.Err() == nil {
		return exit.Stderr, false, nil
	}
	return strings.TrimSuffix(string(out), "\n"), err == nil, err
}

// inWorkTree reports whether the directory is in one. One that git will not trust is an
// error: without git its .gitignore rules would count for less than the user thinks.
func (g git) inWorkTree(ctx context.Context) (bool, error) {
	if g.program == "" {
		return false, nil
	}
	text, ok, err := g.line(ctx, "rev-parse", "--is-inside-work-tree")
	if err != nil {
		return false, fmt.Errorf("asking git: %w", err)
	}
	if !ok && strings.Contains(text, "dubious ownership") {
		return false, &OwnerError{Dir: g.dir}
	}
	return ok && text == "true", nil
}

// list returns what git has and what it does not ignore, relative to the directory.
func (g git) list(ctx context.Context) ([]string, error) {
	out, err := execx.Output(ctx, g.command("ls-files", "-z", "-c", "-o", "--exclude-standard"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", g.dir, err)
	}
	paths := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	slices.Sort(paths) // an unmerged path comes once for each side
	return slices.DeleteFunc(slices.Compact(paths), func(name string) bool { return name == "" }), nil
}

// markCommitted finds the excluded paths that HEAD has.
func (g git) markCommitted(ctx context.Context, excluded []workspace.Excluded) error {
	out, err := execx.Output(ctx, g.command("ls-tree", "-r", "-z", "--full-tree", "--name-only", "HEAD"))
	if err != nil {
		return fmt.Errorf("listing HEAD of %s: %w", g.dir, err)
	}
	committed := map[string]bool{}
	for name := range strings.SplitSeq(string(out), "\x00") {
		committed[name] = true
	}
	for i, e := range excluded {
		excluded[i].Committed = committed[string(e.Path)]
	}
	return nil
}

// ignored returns what git leaves out, whole directories as one.
func (g git) ignored(ctx context.Context) ([]workspace.Excluded, error) {
	out, err := execx.Output(ctx, g.command("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", g.dir, err)
	}
	var excluded []workspace.Excluded
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if name != "" {
			excluded = append(excluded, workspace.Excluded{Path: workspace.Name(name), Why: walk.Ignored})
		}
	}
	return excluded, nil
}

// Repository is the history that goes in.
type Repository struct {
	Head   string `json:"head"`             // a commit
	Branch string `json:"branch,omitempty"` // empty: detached
	Origin string `json:"origin,omitempty"` // without credentials
	Bytes  int64  `json:"-"`                // as git stores it
}

// repository describes what can go in of the repository, or says why nothing can.
func (g git) repository(ctx context.Context) (*Repository, []string, error) {
	none := func(why string) (*Repository, []string, error) {
		return nil, []string{"no commits go in: " + why}, nil
	}
	prefix, _, err := g.line(ctx, "rev-parse", "--show-prefix")
	if err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	}
	if prefix != "" {
		return none("the directory is not the top of its repository")
	}
	head, ok, err := g.line(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	}
	if !ok {
		return none("there are none yet")
	}
	if shallow, _, err := g.line(ctx, "rev-parse", "--is-shallow-repository"); err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	} else if shallow == "true" {
		return none("the clone is shallow (git fetch --unshallow)")
	}
	r := &Repository{Head: head}
	if ref, ok, err := g.line(ctx, "symbolic-ref", "--quiet", "HEAD"); err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	} else if ok {
		r.Branch = strings.TrimPrefix(ref, "refs/heads/")
	}
	if origin, ok, err := g.line(ctx, "config", "--local", "--get", "remote.origin.url"); err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	} else if ok {
		r.Origin = withoutCredentials(origin)
	}
	size, ok, err := g.line(ctx, "rev-list", "--objects", "--disk-usage", "HEAD")
	if err != nil {
		return nil, nil, fmt.Errorf("asking git: %w", err)
	}
	if r.Bytes, err = strconv.ParseInt(size, 10, 64); err != nil || !ok {
		r.Bytes = 0 // a git before 2.31, or objects are missing: the bundle itself will tell
	}
	if r.Bytes > MaxHistory {
		return none(fmt.Sprintf("they are %s, at most %s can", bytesize.Of(r.Bytes), bytesize.Of(MaxHistory)))
	}
	return r, nil, nil
}

// withoutCredentials takes user and password out of a URL that has both; the user of ssh
// is part of the address.
func withoutCredentials(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		if strings.Contains(origin, "://") {
			return "" // nobody knows where its credentials end
		}
		return origin // user@host:path, or a path
	}
	if u.Scheme == "ssh" && u.User != nil {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	u.RawQuery, u.ForceQuery, u.Fragment = "", false, ""
	return u.String()
}

// Bundle writes the commits of HEAD to w, as git bundle does.
func (l *Listing) Bundle(ctx context.Context, options Options, w io.Writer) error {
	command := newGit(l.Dir, options).command("bundle", "create", "--quiet", "-", "HEAD")
	command.Stdout = &capped{w: w, left: MaxHistory}
	if err := execx.Run(ctx, command); err != nil {
		return fmt.Errorf("bundling the commits of %s: %w", l.Dir, err)
	}
	return nil
}

// capped is a writer with an end.
type capped struct {
	w    io.Writer
	left int64
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, fmt.Errorf("more than %s", bytesize.Of(MaxHistory))
	}
	return c.w.Write(p)
}

// OwnerError says that git does not trust a directory of somebody else's.
type OwnerError struct{ Dir string }

func (e *OwnerError) Error() string {
	return workspace.Name(e.Dir).Show() + " belongs to another user, and so do the settings of its repository"
}

// HintLines says what helps.
func (e *OwnerError) HintLines() []string {
	return []string{"run bottle as that user, or: chown -R $(id -u) " + workspace.Name(e.Dir).Show()}
}
