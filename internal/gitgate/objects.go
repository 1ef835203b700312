package gitgate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/printable"
)

// maxNames bounds the memory for the paths of all new objects.
const maxNames = 64 << 20

// object is one that the upstream does not have.
type object struct {
	oid    string
	kind   string
	size   int64
	path   string
	commit string // the first commit with it, in the order of history
}

// contents are the new objects of a push by kind.
type contents struct {
	commits []object
	trees   []object // and what else is no blob
	blobs   []object
	bytes   int64
}

// newObjects lists what is reachable from the new values and not from any ref of the
// mirror; it fails when something is missing. Sizes are checked before any is read.
func (q *quarantine) newObjects(ctx context.Context, commands []command, limits Limits) (contents, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return contents{}, fmt.Errorf("listing the objects: %w", err)
	}
	var tips strings.Builder
	for _, cmd := range commands {
		tips.WriteString(cmd.New + "\n")
	}
	list := q.run("rev-list", "--objects", "--in-commit-order", "--reverse", "--stdin", "--not", "--all")
	list.stdin, list.stdout = strings.NewReader(tips.String()), write
	listing, err := execx.Start(ctx, q.gate.command(list))
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return contents{}, fmt.Errorf("listing the objects: %w", err)
	}
	found := &sorter{limits: limits}
	sizes := q.run("cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype) %(objectsize) %(rest)")
	sizes.stdin = read
	err = q.gate.pipe(ctx, sizes, found.read)
	_ = read.Close()
	listed := listing.Wait()
	if err == nil {
		err = listed
	}
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		err = refuse(rulePack, "the push is not complete: %s", printable.ASCII(lastLine(exit.Stderr), 200))
	}
	return found.contents, err
}

// pipe runs git and reads what it says; when the reader has seen enough, git is ended.
func (g *Gate) pipe(ctx context.Context, run gitRun, read func(*bufio.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The system's own pipe: the reader may take minutes for what is left in it when git
	// has long ended.
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("running git %s: %w", run.args[0], err)
	}
	defer func() { _ = out.Close() }()
	run.stdout = in
	process, err := execx.Start(ctx, g.command(run))
	_ = in.Close()
	if err != nil {
		return err
	}
	problem := read(bufio.NewReaderSize(out, 64<<10))
	if problem != nil {
		cancel()
	}
	_ = out.Close()
	if err := process.Wait(); problem == nil && err != nil {
		return err
	}
	return problem
}

// sorter reads the list of objects.
type sorter struct {
	contents

	limits Limits
	names  int
	commit string
}

func (s *sorter) read(r *bufio.Reader) error {
	for {
		text, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && text == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing the objects: %w", err)
		}
		if err := s.add(strings.TrimSuffix(text, "\n")); err != nil {
			return err
		}
	}
}

func (s *sorter) add(text string) error {
	fields := strings.SplitN(text, " ", 4)
	if len(fields) < 4 {
		return refuse(rulePack, "the push is not complete: an object is missing")
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return fmt.Errorf("listing the objects: git answers %.80q", text)
	}
	o := object{oid: fields[0], kind: fields[1], size: size, path: fields[3], commit: s.commit}
	if o.kind == "commit" {
		s.commit, o.commit = o.oid, o.oid
	}
	s.bytes += size
	s.names += len(o.path)
	if err := s.check(o); err != nil {
		return err
	}
	switch o.kind {
	case "commit":
		s.commits = append(s.commits, o)
	case "blob":
		s.blobs = append(s.blobs, o)
	default:
		s.trees = append(s.trees, o)
	}
	return nil
}

func (s *sorter) check(o object) error {
	tooMuch := func(format string, args ...any) error {
		r := refuse(ruleLimit, format, args...)
		r.commit = o.commit // the path was not scanned yet
		return r
	}
	switch {
	case o.size > s.limits.ObjectBytes:
		return tooMuch("an object of %d bytes, at most %d are allowed", o.size, s.limits.ObjectBytes)
	case s.bytes > s.limits.InflatedBytes:
		return tooMuch("the new objects hold more than %d bytes", s.limits.InflatedBytes)
	case len(s.commits)+len(s.trees)+len(s.blobs) >= s.limits.Objects:
		return tooMuch("more than %d new objects", s.limits.Objects)
	case s.names > maxNames:
		return tooMuch("the paths of the new objects are too long")
	}
	return nil
}
