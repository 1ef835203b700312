package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// Each message that comes with something to type, and each that a program of ours tells apart,
// is in docs/troubleshooting.md with its cure, and no other is.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	messages := map[string]string{}
	for _, pattern := range []string{"internal/*", "internal/*/*", "pkg/*"} {
		dirs, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			collect(t, dir, messages)
		}
	}
	page, err := Read(root, "docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	cured := map[string]bool{}
	for _, span := range page.Spans {
		cured[span.Text] = true
	}
	for _, message := range slices.Sorted(maps.Keys(messages)) {
		if !cured[message] {
			t.Errorf("%s: docs/troubleshooting.md has no cure for `%s`", messages[message], message)
		}
	}
	rows, err := Rows(root, page.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if _, real := messages[row]; !real {
			t.Errorf("docs/troubleshooting.md: nothing says `%s` any more", row)
		}
	}
	if len(messages) < 100 {
		t.Errorf("only %d messages were found", len(messages))
	}
}

// collect finds the messages of a package that a person may see.
func collect(t *testing.T, dir string, messages map[string]string) {
	t.Helper()
	if strings.HasPrefix(filepath.Base(dir), "smolvmtest") || !forPeople(dir) {
		return
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	hinting := map[string]bool{} // types with a HintLines
	for _, file := range files {
		for _, declared := range file.Decls {
			if method, ok := declared.(*ast.FuncDecl); ok && method.Name.Name == "HintLines" {
				hinting[receiver(method)] = true
			}
		}
	}
	wrapped := wrappers(files)
	found := func(where token.Pos, text string) {
		if text = message(text); strings.Trim(text, "… :\n") != "" {
			messages[text] = strings.TrimPrefix(fset.Position(where).String(), root+"/")
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CompositeLit:
				if name, ok := node.Type.(*ast.Ident); ok && hinting[name.Name] {
					literal(node, found)
				}
			case *ast.CallExpr: // r.err.add(problem, hint) of the plan
				if i, ok := wrapped[printed(node.Fun)]; ok && i < len(node.Args) {
					found(node.Pos(), constant(node.Args[i]))
				}
				if called, ok := node.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "add" && printed(called.X) == "r.err" {
					found(node.Pos(), constant(node.Args[0]))
				}
			case *ast.FuncDecl:
				if node.Name.Name == "Error" && hinting[receiver(node)] {
					ast.Inspect(node, func(inner ast.Node) bool {
						if returned, ok := inner.(*ast.ReturnStmt); ok {
							found(returned.Pos(), constant(returned.Results[0]))
						}
						return true
					})
				}
			case *ast.ValueSpec: // var ErrX = errors.New("...")
				if len(node.Values) == 1 && ast.IsExported(node.Names[0].Name) && strings.HasPrefix(node.Names[0].Name, "Err") {
					found(node.Pos(), constant(node.Values[0]))
				}
			}
			return true
		})
	}
}

// forPeople are the packages of the host's side.
func forPeople(dir string) bool {
	name, _ := filepath.Rel(root, dir)
	return slices.Contains([]string{
		"internal/app", "internal/cli", "internal/cli/board", "internal/console", "internal/detach", "internal/doctor", "internal/gobuild", "internal/imagebuild",
		"internal/imagebuild/debian", "internal/imagebuild/npm", "internal/imagepack", "internal/launch", "internal/launch/proof", "internal/launch/undo",
		"internal/manifest", "internal/plan", "internal/proposal", "internal/sidecar", "internal/state", "internal/token", "internal/workspace/apply", "internal/workspace/listing",
		"pkg/bundle", "pkg/smolvm",
	}, name)
}

// wrappers are the functions that make an error with a text that they are given, and where.
func wrappers(files []*ast.File) map[string]int {
	found := map[string]int{}
	for _, file := range files {
		for _, declared := range file.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || function.Recv != nil {
				continue
			}
			var parameters []string
			for _, field := range function.Type.Params.List {
				for _, name := range field.Names {
					parameters = append(parameters, name.Name)
				}
			}
			ast.Inspect(function, func(node ast.Node) bool {
				pair, ok := node.(*ast.KeyValueExpr)
				if !ok || printed(pair.Key) != "Text" && printed(pair.Key) != "text" {
					return true
				}
				if i := slices.Index(parameters, printed(pair.Value)); i >= 0 {
					found[function.Name.Name] = i
				}
				return true
			})
		}
	}
	return found
}

func receiver(method *ast.FuncDecl) string {
	if method.Recv == nil {
		return ""
	}
	return strings.TrimPrefix(printed(method.Recv.List[0].Type), "*")
}

// literal takes the text of an error that is written as &Problem{Text: ...}.
func literal(node *ast.CompositeLit, found func(token.Pos, string)) {
	for _, element := range node.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key := printed(pair.Key); key {
		case "Text", "text", "Problem":
			found(node.Pos(), constant(pair.Value))
		case "Problems":
			if list, ok := pair.Value.(*ast.CompositeLit); ok {
				for _, one := range list.Elts {
					found(node.Pos(), constant(one))
				}
			}
		}
	}
}

func printed(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return "*" + printed(e.X)
	case *ast.SelectorExpr:
		return printed(e.X) + "." + e.Sel.Name
	}
	return fmt.Sprintf("%T", e)
}

// constant is a text with … for what only a run knows.
func constant(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return constant(e.X) + constant(e.Y)
	case *ast.CallExpr:
		switch printed(e.Fun) {
		case "fmt.Sprintf", "errors.New", "fmt.Errorf":
			return constant(e.Args[0])
		}
	}
	return "…"
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// message is what a person sees of a format, with … for each value.
func message(format string) string {
	text := verb.ReplaceAllStringFunc(format, func(v string) string {
		if strings.HasSuffix(v, "q") {
			return `"…"`
		}
		return "…"
	})
	return regexp.MustCompile(`…(\s*…)+`).ReplaceAllString(text, "…")
}
