package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bottle.internal/tests/golden"
)

func all(t *testing.T) []Page {
	t.Helper()
	pages, err := All(root)
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	return pages
}

// Every link within the repository leads to a file, and to a heading that is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := map[string]Page{}
	for _, page := range all(t) {
		pages[page.Name] = page
	}
	links := 0
	for _, page := range pages {
		for _, link := range page.Links {
			if strings.Contains(link.Text, "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(link.Text, "#")
			target := page.Name
			if file != "" {
				target = path.Join(path.Dir(page.Name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s:%d: %s leads nowhere: %v", page.Name, link.Line, link.Text, err)
			}
			if anchor != "" && !slices.Contains(pages[target].Anchors, anchor) {
				t.Errorf("%s:%d: %s has no heading #%s", page.Name, link.Line, target, anchor)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found", links)
	}
}

// The index of the docs names every page.
func TestIndex(t *testing.T) {
	t.Parallel()
	const index = "docs/README.md"
	pages := all(t)
	named := map[string]bool{index: true}
	for _, page := range pages {
		if page.Name == index {
			for _, link := range page.Links {
				named[path.Join(path.Dir(index), link.Text)] = true
			}
		}
	}
	for _, page := range pages {
		if path.Dir(page.Name) == path.Dir(index) && !named[page.Name] {
			t.Errorf("%s: add a row for [%s](%s)", index, page.Title, path.Base(page.Name))
		}
	}
}

// The list of decisions is that of the files.
func TestDecisions(t *testing.T) {
	t.Parallel()
	const index = "docs/adr/README.md"
	text, err := os.ReadFile(filepath.Join(root, index))
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- decisions -->\n", "<!-- end -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no marks", index)
	}
	var rows strings.Builder
	for _, page := range all(t) {
		if path.Dir(page.Name) == path.Dir(index) && page.Name != index {
			fmt.Fprintf(&rows, "* [%s](%s)\n", page.Title, path.Base(page.Name))
		}
	}
	want := before + begin + rows.String() + end + after
	golden.Check(t, filepath.Join(root, index), want)
}

// Mage targets, and what go is told to test, build or run, are there.
func TestOtherCommands(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, name := range declared(t, root)["magefile"] {
		targets[strings.ToLower(name)] = true
	}
	magefile, err := os.ReadFile(filepath.Join(root, "magefile.go"))
	if err != nil {
		t.Fatal(err)
	}
	if aliases := regexp.MustCompile(`(?s)Aliases = map\[string\]any\{(.*?)\}`).FindSubmatch(magefile); aliases != nil {
		for _, alias := range regexp.MustCompile(`"(.*?)"`).FindAllSubmatch(aliases[1], -1) {
			targets[strings.ToLower(string(alias[1]))] = true
		}
	}
	tests, err := Tests(root)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(tests))
	for name := range tests {
		names = append(names, name)
	}
	seen := 0
	check := func(page string, line int, words []string) {
		if len(words) > 3 && slices.Equal(words[:3], []string{"go", "tool", "mage"}) {
			words = words[2:]
		}
		switch {
		case len(words) > 1 && words[0] == "mage" && !strings.HasPrefix(words[1], "-"):
			seen++
			if !targets[strings.ToLower(words[1])] {
				t.Errorf("%s:%d: there is no mage target %q", page, line, words[1])
			}
		case len(words) > 2 && words[0] == "go" && slices.Contains([]string{"test", "build", "run"}, words[1]):
			seen++
			checkGo(t, page, line, words[2:], names)
		}
	}
	for _, page := range all(t) {
		commands, err := page.Commands()
		if err != nil {
			t.Error(err)
		}
		for _, command := range commands {
			for _, call := range command.Calls {
				check(page.Name, command.Line, call.Words)
			}
		}
		for _, span := range page.Spans {
			check(page.Name, span.Line, strings.Fields(span.Text))
		}
	}
	if seen < 25 {
		t.Errorf("only %d commands were found", seen)
	}
}

func checkGo(t *testing.T, page string, line int, words, tests []string) {
	t.Helper()
	for i, word := range words {
		dir := strings.TrimSuffix(strings.TrimPrefix(word, "./"), "...")
		if strings.HasPrefix(word, "./") {
			if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
				t.Errorf("%s:%d: %v", page, line, err)
			}
		}
		flag, pattern, found := strings.Cut(strings.Trim(word, "'"), "=")
		if !found && i+1 < len(words) {
			pattern = words[i+1]
		}
		pattern = strings.Trim(pattern, "'")
		if flag != "-run" && flag != "-bench" || pattern == "^$" || pattern == "." {
			continue
		}
		if wanted := regexp.MustCompile(pattern); !slices.ContainsFunc(tests, wanted.MatchString) {
			t.Errorf("%s:%d: no test is called %s", page, line, pattern)
		}
	}
}

// The names of our code in the pages are names of our code: `package.Name`,
// `package.Type.Method`, and paths of directories and files.
func TestNames(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	packages := map[string]bool{}
	err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && dir != root {
			if err == nil && entry.IsDir() {
				return filepath.SkipDir
			}
			return err
		}
		for name, identifiers := range declared(t, dir) {
			if name == "magefile" {
				continue
			}
			packages[name] = true
			for _, identifier := range identifiers {
				known[name+"."+identifier] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	identifier := regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Z]\w*(?:\.\w+)?)$`)
	inPlace := regexp.MustCompile(`^((?:cmd|internal|pkg|images|tests)/[\w/-]+)\.([A-Z]\w*(?:\.\w+)?)$`)
	place := regexp.MustCompile(`^(cmd|internal|pkg|tests|images|docs|tools)/[\w./-]*$`)
	seen := 0
	for _, page := range all(t) {
		for _, span := range page.Spans {
			if match := identifier.FindStringSubmatch(span.Text); match != nil && packages[match[1]] {
				seen++
				if !known[span.Text] {
					t.Errorf("%s:%d: there is no %s", page.Name, span.Line, span.Text)
				}
			}
			if match := inPlace.FindStringSubmatch(span.Text); match != nil {
				seen++
				if !known[path.Base(match[1])+"."+match[2]] {
					t.Errorf("%s:%d: there is no %s", page.Name, span.Line, span.Text)
				}
			} else if place.MatchString(span.Text) {
				seen++
				if _, err := os.Stat(filepath.Join(root, span.Text)); err != nil {
					t.Errorf("%s:%d: %v", page.Name, span.Line, err)
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d names were found", seen)
	}
}

// declared are the exported names of the packages of a directory, by the package's name;
// those of root are the mage targets.
func declared(t *testing.T, dir string) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(file.Name.Name, "_test")
		if dir == root {
			name = "magefile"
		}
		for _, one := range file.Decls {
			switch one := one.(type) {
			case *ast.FuncDecl:
				name1 := one.Name.Name
				if one.Recv != nil {
					name1 = receiver(one) + "." + name1
				}
				found[name] = append(found[name], name1)
			case *ast.GenDecl:
				for _, spec := range one.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						found[name] = append(found[name], spec.Name.Name)
						found[name] = append(found[name], members(spec)...)
					case *ast.ValueSpec:
						for _, identifier := range spec.Names {
							found[name] = append(found[name], identifier.Name)
						}
					}
				}
			}
		}
	}
	return found
}

// members are the fields and methods that a type declares in itself.
func members(spec *ast.TypeSpec) []string {
	var list *ast.FieldList
	switch of := spec.Type.(type) {
	case *ast.StructType:
		list = of.Fields
	case *ast.InterfaceType:
		list = of.Methods
	default:
		return nil
	}
	var names []string
	for _, field := range list.List {
		for _, name := range field.Names {
			names = append(names, spec.Name.Name+"."+name.Name)
		}
	}
	return names
}
