// Package docs reads the pages of the repository, README.md and docs, for the tests that keep
// them true: every command in them is known and run, every link leads somewhere, every name
// exists.
//
// Invariants: a block of shell that cannot be read is an error, never skipped; a command has
// the line where it stands.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// Page is a file of Markdown.
type Page struct {
	Name    string // relative to the repository
	Title   string
	Blocks  []Block
	Spans   []Span
	Links   []Span // their destinations
	Anchors []string
}

// Block is fenced code.
type Block struct {
	Line int // of its first line of code
	Lang string
	Text string
}

// Span is a piece of text in a paragraph.
type Span struct {
	Line int
	Text string
}

// Read reads a page of the repository at root.
func Read(root, name string) (Page, error) {
	source, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return Page{}, fmt.Errorf("reading a page: %w", err)
	}
	page := Page{Name: name}
	tree := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	err = ast.Walk(tree, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			page.add(node, source)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return page, nil
}

// All reads README.md and every page below docs.
func All(root string) ([]Page, error) {
	names := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, fmt.Errorf("looking for pages: %w", err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return nil, fmt.Errorf("looking for pages: %w", err)
			}
			names = append(names, name)
		}
	}
	pages := make([]Page, 0, len(names))
	for _, name := range names {
		page, err := Read(root, name)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	return pages, nil
}

func (p *Page) add(node ast.Node, source []byte) {
	switch node := node.(type) {
	case *ast.FencedCodeBlock:
		lines := node.Lines()
		if lines.Len() == 0 {
			return
		}
		p.Blocks = append(p.Blocks, Block{
			Line: lineAt(source, lines.At(0).Start), Lang: string(node.Language(source)), Text: string(lines.Value(source)),
		})
	case *ast.Heading:
		if node.Level == 1 && p.Title == "" {
			p.Title = plain(node, source)
		}
		p.Anchors = append(p.Anchors, anchor(plain(node, source)))
	case *ast.CodeSpan:
		p.Spans = append(p.Spans, Span{lineOf(node, source), plain(node, source)})
	case *ast.Link:
		p.Links = append(p.Links, Span{lineOf(node, source), string(node.Destination)})
	case *ast.Image:
		p.Links = append(p.Links, Span{lineOf(node, source), string(node.Destination)})
	}
}

// plain is what a person reads of a node.
func plain(node ast.Node, source []byte) string {
	var words strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		if leaf, ok := child.(*ast.Text); ok {
			words.Write(leaf.Segment.Value(source))
			if leaf.SoftLineBreak() {
				words.WriteByte(' ')
			}
			continue
		}
		words.WriteString(plain(child, source))
	}
	return words.String()
}

func lineAt(source []byte, offset int) int {
	return 1 + strings.Count(string(source[:offset]), "\n")
}

// lineOf finds the line of the first text in an inline node.
func lineOf(node ast.Node, source []byte) int {
	for ; node != nil; node = node.FirstChild() {
		if leaf, ok := node.(*ast.Text); ok {
			return lineAt(source, leaf.Segment.Start)
		}
	}
	return 0
}

// anchor is what a forge makes of a heading.
func anchor(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// Tests are the names of all tests of the repository.
func Tests(root string) (map[string]bool, error) {
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	found := map[string]bool{}
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(tree, path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			found[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for tests: %w", err)
	}
	return found, nil
}

// Rows are the code spans in the first cells of a page's tables.
func Rows(root, name string) ([]string, error) {
	source, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, fmt.Errorf("reading a page: %w", err)
	}
	var rows []string
	tree := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	err = ast.Walk(tree, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if span, ok := node.(*ast.CodeSpan); ok && entering && node.Parent().Kind() == tables.KindTableCell && node.Parent().PreviousSibling() == nil {
			rows = append(rows, plain(span, source))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return rows, nil
}
