package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxShown bounds what a broken file prints.
const maxShown = 50

// Problem is one thing that is wrong in a manifest.
type Problem struct {
	File  string
	Line  int    // 0 when no single line is to blame
	Field string // "bottles.dev.egress.routes[0].host", or "" for the whole file
	Text  string
}

func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Field == "" {
		return where + ": " + p.Text
	}
	return where + ": " + p.Field + ": " + p.Text
}

// Problems is the error of [Load]: everything that is wrong, in the order of the files.
type Problems struct{ List []Problem }

// Error prints one problem per line.
func (p *Problems) Error() string {
	var lines []string
	for i, problem := range p.List {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(p.List)-i))
			break
		}
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

// HintLines says what to do next.
func (p *Problems) HintLines() []string {
	return []string{"every field is described in docs/manifest.md; to check the file again, type: bottle plan AGENT"}
}

// place is where something was written, for a problem that is found later.
type place struct {
	src   *source
	line  int
	field string
}

func (p place) bad(format string, args ...any) {
	p.src.out.add(p, fmt.Sprintf(format, args...))
}

// collector gathers the problems of all the sources of one Load.
type collector struct {
	list  []Problem
	ranks []int
}

func (c *collector) add(at place, text string) {
	c.list = append(c.list, Problem{File: at.src.name, Line: at.line, Field: at.field, Text: text})
	c.ranks = append(c.ranks, at.src.rank)
}

func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	order := make([]int, len(c.list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(c.ranks[a], c.ranks[b]), cmp.Compare(c.list[a].Line, c.list[b].Line))
	})
	sorted := &Problems{}
	for _, i := range order {
		sorted.List = append(sorted.List, c.list[i])
	}
	return sorted
}

// source is one file while it is read.
type source struct {
	name string // quoted when it would not print plainly
	path string
	rank int // user file first
	out  *collector
}
