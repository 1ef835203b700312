package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxSize bounds a manifest, in bytes.
const MaxSize = 1 << 20

// ReadError says why a manifest could not be read, and what to type.
type ReadError struct {
	Path    string
	Problem string
	hints   []string
	err     error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("reading the manifest %s: %s", plainPath(e.Path), e.Problem)
}

// HintLines says what to do next.
func (e *ReadError) HintLines() []string { return e.hints }

func (e *ReadError) Unwrap() error { return e.err }

// Read reads a manifest file. Its error is a [*ReadError]; errors.Is finds
// fs.ErrNotExist and fs.ErrPermission in it.
func Read(path string) (Source, error) {
	// Stat comes first because opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Source{}, readError(path, err)
	case info.IsDir():
		inside := filepath.Join(path, "bottle.toml")
		return Source{}, &ReadError{Path: path, Problem: "it is a directory, not a file", hints: []string{
			"name the file in it: --manifest " + plainPath(inside),
		}}
	case !info.Mode().IsRegular():
		return Source{}, &ReadError{Path: path, Problem: "it is not a regular file", hints: []string{
			"name a plain file: --manifest FILE",
		}}
	}
	file, err := os.Open(path)
	if err != nil {
		return Source{}, readError(path, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	switch {
	case err != nil:
		return Source{}, readError(path, err)
	case len(data) > MaxSize:
		return Source{}, &ReadError{Path: path, Problem: "it is larger than 1 MiB", hints: []string{
			"move long prompts into files of their own (prompt_file = \"...\")",
		}}
	}
	return Source{Path: path, Data: data}, nil
}

func readError(path string, err error) error {
	problem := err.Error()
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		problem = pathErr.Err.Error()
	}
	result := &ReadError{Path: path, Problem: problem, err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		result.Problem = "there is no such file"
		result.hints = []string{
			"bottle init --template claude writes one; docs/manifest.md shows every field; or name another: --manifest FILE",
		}
	case errors.Is(err, fs.ErrPermission):
		result.Problem = "permission denied"
		result.hints = []string{"make it readable for you: chmod u+r " + plainPath(path)}
	}
	return result
}

// plainPath quotes a path that would not print as itself.
func plainPath(path string) string {
	quoted := fmt.Sprintf("%q", path)
	if path != "" && !strings.ContainsAny(path, " \t") && quoted[1:len(quoted)-1] == path {
		return path
	}
	return quoted
}
