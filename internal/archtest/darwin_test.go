//go:build !race

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// Everything of ours, tests included, is type-checked for macOS. That is what a compiler
// refuses, at a tenth of the price: of foreign packages only the declarations are looked at,
// and no code is generated. `mage lint` runs it: the race detector would make it four times as slow.
func TestDarwinCompiles(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"arm64", "amd64"} {
		for _, problem := range typeCheck(t, "darwin", arch, "./...") {
			t.Errorf("darwin/%s: %s", arch, problem)
		}
	}
}

// The check can fail: what is for Linux alone does not type-check elsewhere.
func TestDarwinCheckSeesErrors(t *testing.T) {
	t.Parallel()
	if problems := typeCheck(t, "darwin", "arm64", "./internal/archtest/testdata/linuxonly"); len(problems) == 0 {
		t.Error("unix.Prctl is Linux's alone")
	}
}

func typeCheck(t *testing.T, goos, arch string, patterns ...string) []string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	config := &packages.Config{
		Context: t.Context(), Dir: root, Tests: true,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesSizes | packages.NeedModule,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0"),
		ParseFile: func(files *token.FileSet, name string, text []byte) (*ast.File, error) {
			file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
			if err == nil && !strings.HasPrefix(name, root+string(filepath.Separator)) {
				dropBodies(file)
			}
			return file, err
		},
	}
	loaded, err := packages.Load(config, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, pkg := range loaded {
		if strings.HasSuffix(pkg.ID, ".test") { // the main of a test, which go makes
			continue
		}
		for _, problem := range pkg.Errors {
			problems = append(problems, problem.Error())
		}
	}
	return problems
}

func dropBodies(file *ast.File) {
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			function.Body = nil
		}
	}
}
