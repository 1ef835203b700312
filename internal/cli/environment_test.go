package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The table of the environment has every variable that the program of the host asks for, and
// no other.
func TestEnvironmentIsWhole(t *testing.T) {
	t.Parallel()
	asked := map[string]string{}
	for _, dir := range []string{"../app", "../cli", "../host", "../launch", "../../pkg/bundle"} {
		maps.Copy(asked, namesAsked(t, dir))
	}
	delete(asked, "AGENT") // mage's
	if len(asked) < 15 {
		t.Errorf("only %d variables were found: %v", len(asked), asked)
	}
	for _, v := range environment() {
		if v.name != "DOCKER_HOST" && asked[v.name] == "" { // its name is the client's constant
			t.Errorf("nobody asks for %s", v.name)
		}
		delete(asked, v.name)
	}
	for name, where := range asked {
		t.Errorf("%s is asked for in %s: add it to environment()", name, where)
	}
}

// namesAsked are the constant names that are looked up in the environment.
func namesAsked(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	lookups := []string{"getenv", "Getenv", "LookupEnv", "lookup", "xdg"}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		take := func(expression ast.Expr) {
			if literal, ok := expression.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if name, err := strconv.Unquote(literal.Value); err == nil && name != "" && name == strings.ToUpper(name) {
					found[name] = path
				}
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CallExpr:
				name := ""
				switch called := node.Fun.(type) {
				case *ast.Ident:
					name = called.Name
				case *ast.SelectorExpr:
					name = called.Sel.Name
				}
				if slices.Contains(lookups, name) && len(node.Args) > 0 {
					take(node.Args[0])
				}
			case *ast.IndexExpr: // values["NO_COLOR"]
				take(node.Index)
			}
			return true
		})
	}
	return found
}

// Exit codes are in one place for people, too.
func TestExitCodesAreTold(t *testing.T) {
	t.Parallel()
	page, err := fs.ReadFile(os.DirFS("../../docs"), "cli.md")
	if err != nil || !strings.Contains(string(page), exitCodes) || !strings.Contains(string(overviewPage()), ".SH EXIT STATUS\n0 is success") {
		t.Errorf("the exit codes are not in the reference and the manual: %v", err)
	}
}
