// Package fuzzing finds the fuzz targets of a module and runs each of them for a while, one
// after the other, since go test takes one at a time.
//
// Invariants: a target is found by its declaration, not by a list that somebody keeps; one
// that fails does not keep the others from running; what go test writes down of a failure
// stays in testdata/fuzz, where every later go test tries it.
package fuzzing

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Target is one fuzz target.
type Target struct {
	Package string // its directory below the module's, such as internal/names; "." for the module's own
	Name    string // such as FuzzParse
}

func (t Target) String() string { return t.Package + " " + t.Name }

// Find returns the targets of the module in dir, by directory, file and position. Files that
// this platform or the build tags leave out have none, nor do other modules below.
func Find(dir string) ([]Target, error) {
	var targets []Target
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && leftOut(path, entry.Name()):
			return filepath.SkipDir
		case !entry.Type().IsRegular() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		found, err := inFile(path)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(dir, filepath.Dir(path))
		for _, name := range found {
			targets = append(targets, Target{Package: filepath.ToSlash(pkg), Name: name})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for fuzz targets: %w", err)
	}
	return targets, nil
}

// leftOut tells what ./... leaves out too.
func leftOut(path, name string) bool {
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

func inFile(path string) ([]string, error) {
	built, err := build.Default.MatchFile(filepath.Dir(path), filepath.Base(path))
	if err != nil || !built {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	testing := importName(file, "testing")
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && isTarget(function, testing) {
			names = append(names, function.Name.Name)
		}
	}
	return names, nil
}

// importName is what a file calls the package of that path; "" if it does not import it.
func importName(file *ast.File, path string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+path+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path
	}
	return ""
}

// isTarget is go test's own rule: func FuzzXxx(*testing.F).
func isTarget(function *ast.FuncDecl, testing string) bool {
	rest, ok := strings.CutPrefix(function.Name.Name, "Fuzz")
	if first, _ := utf8.DecodeRuneInString(rest); !ok || unicode.IsLower(first) {
		return false
	}
	kind := function.Type
	if function.Recv != nil || kind.TypeParams != nil || kind.Results != nil || kind.Params.NumFields() != 1 {
		return false
	}
	pointer, ok := kind.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	selector, ok := pointer.X.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "F" {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == testing
}
