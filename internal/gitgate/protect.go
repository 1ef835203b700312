package gitgate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxFiles is how many protected files a question to a human lists.
const maxFiles = 50

// errEnough ends the search.
var errEnough = errors.New("enough files")

// protectedFiles lists the protected paths that any new commit adds or changes against any
// of its parents; a rename is an addition. What a later commit takes back counts too.
func (q *quarantine) protectedFiles(ctx context.Context, commits []object) ([]string, error) {
	if len(q.remote.protect.patterns) == 0 || len(commits) == 0 {
		return []string{}, nil
	}
	var ask strings.Builder
	for _, commit := range commits {
		ask.WriteString(commit.oid + "\n")
	}
	run := q.run("diff-tree", "--stdin", "-m", "-r", "--root", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", "-z")
	run.stdin = strings.NewReader(ask.String())
	files := []string{}
	err := q.gate.pipe(ctx, run, func(r *bufio.Reader) error {
		return readDiffs(r, func(path string, isLink bool) error {
			if q.remote.protect.matches(path, isLink) && !slices.Contains(files, path) {
				files = append(files, path)
			}
			if len(files) == maxFiles {
				return errEnough
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("comparing the commits: %w", err)
	}
	return files, nil
}

// readDiffs calls visit for what is there after each change.
func readDiffs(r *bufio.Reader, visit func(path string, isLink bool) error) error {
	for {
		head, err := r.ReadString(0)
		if errors.Is(err, io.EOF) && head == "" {
			return nil
		}
		if err != nil {
			return err
		}
		if head[0] != ':' { // the name of the commit
			continue
		}
		path, err := r.ReadString(0)
		if err != nil {
			return err
		}
		fields := strings.Fields(strings.TrimSuffix(head, "\x00"))
		if len(fields) != 5 {
			return fmt.Errorf("git says %.80q", head)
		}
		mode := fields[1]
		if mode == "000000" { // gone
			continue
		}
		if err := visit(strings.TrimSuffix(path, "\x00"), mode == "120000" || mode == "160000"); err != nil {
			return err
		}
	}
}
