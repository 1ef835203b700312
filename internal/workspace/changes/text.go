package changes

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/workspace"
)

// What is shown has bounds; what is applied is what was staged, whatever is shown of it.
const (
	maxText   = 1 << 20 // a larger file is shown by its size
	maxLine   = 500
	maxLines  = 400 // of the whole diff, without full
	maxRows   = 60  // of the statistics, without full
	maxMarked = 300 // of them that are refused, a conflict, or ask again: these come beside
	statWidth = 40
)

// texts are a change's two sides; ok is false if one is not text, or too long for a diff.
func (s *Set) texts(c Change) (before, after []byte, ok bool) {
	read := func(state workspace.State, open func() (fs.File, error)) ([]byte, bool) {
		switch {
		case state.Kind == workspace.Absent:
			return nil, true
		case state.Kind == workspace.Link:
			return []byte("-> " + string(state.Target) + "\n"), true
		case state.Kind != workspace.File || state.Size > maxText:
			return nil, false
		}
		file, err := open()
		if err != nil {
			return nil, false
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, maxText+1))
		return text, err == nil && len(text) <= maxText && utf8.Valid(text) && !bytes.Contains(text, []byte{0})
	}
	before, ok = read(c.Old, func() (fs.File, error) { return s.root.Open(string(c.Path)) })
	if !ok {
		return nil, nil, false
	}
	after, ok = read(c.New, func() (fs.File, error) { return s.Stage.Open(c.New.Sum) })
	return before, after, ok
}

// count fills in the statistics.
func (s *Set) count(c *Change) {
	for line := range strings.SplitSeq(s.unified(c), "\n") {
		switch {
		case strings.HasPrefix(line, "+"):
			c.Added++
		case strings.HasPrefix(line, "-"):
			c.Removed++
		}
	}
}

// unified is the hunks of a change, unescaped; it marks what is no text.
func (s *Set) unified(c *Change) string {
	before, after, ok := s.texts(*c)
	if !ok {
		c.Binary = true
		return ""
	}
	// The first three lines name the files; what follows begins with a hunk.
	_, hunks, found := bytes.Cut(diff.Diff("a", before, "b", after), []byte("\n@@"))
	if !found {
		return ""
	}
	return "@@" + string(hunks)
}

// Stat writes a line for each change, as git diff --stat does, and a sum.
func (s *Set) Stat(w io.Writer, full bool) {
	biggest := 1
	for _, c := range s.Changes {
		biggest = max(biggest, c.Added+c.Removed)
	}
	added, removed, hidden := 0, 0, 0
	left := map[bool]int{false: maxRows, true: maxMarked}
	for _, c := range s.Changes {
		added, removed = added+c.Added, removed+c.Removed
		// Many harmless changes must not hide the ones that matter.
		marked := c.Sensitive != "" || c.Conflict != "" || c.Refused != ""
		if left[marked]--; left[marked] < 0 && !full {
			hidden++
			continue
		}
		fmt.Fprintf(w, " %-40s | %s%s\n", c.Path.Show(), c.amount(biggest), c.marks())
	}
	if hidden > 0 {
		fmt.Fprintf(w, " ... and %d more (--full shows them)\n", hidden)
	}
	fmt.Fprintf(w, " %d changed, %d lines added, %d removed\n", len(s.Changes), added, removed)
	s.remarks(w, full)
}

func (c Change) amount(biggest int) string {
	if c.Binary {
		return fmt.Sprintf("%s, %s -> %s", c.Verb(), sizeOf(c.Old), sizeOf(c.New))
	}
	scale := func(n int) int {
		if biggest <= statWidth || n == 0 {
			return n
		}
		return max(1, n*statWidth/biggest)
	}
	bar := strings.Repeat("+", scale(c.Added)) + strings.Repeat("-", scale(c.Removed))
	return strings.TrimRight(fmt.Sprintf("%s %d %s", c.Verb(), c.Added+c.Removed, bar), " ")
}

func sizeOf(state workspace.State) string {
	switch state.Kind {
	case workspace.File:
		return bytesize.Of(state.Size)
	case workspace.Absent:
		return "nothing"
	case workspace.Link:
		return "a link"
	}
	return string(state.Kind)
}

func (c Change) marks() string {
	var b strings.Builder
	if c.New.Exec != c.Old.Exec && c.New.Kind == workspace.File {
		b.WriteString(map[bool]string{true: " [executable]", false: " [not executable]"}[c.New.Exec])
	}
	if c.Sensitive != "" {
		fmt.Fprintf(&b, " [ASKS AGAIN: %s]", c.Sensitive)
	}
	if c.Conflict != "" {
		fmt.Fprintf(&b, " [CONFLICT: %s]", printable.SafeText(c.Conflict))
	}
	if c.Refused != "" {
		fmt.Fprintf(&b, " [REFUSED: %s]", printable.SafeText(c.Refused))
	}
	return b.String()
}

// remarks says what is not among the changes.
func (s *Set) remarks(w io.Writer, full bool) {
	if len(s.Same) > 0 {
		fmt.Fprintf(w, " %d more are on the host already\n", len(s.Same))
	}
	skipped := s.Stage.Skipped
	for i, excluded := range skipped {
		if i == 10 && !full {
			fmt.Fprintf(w, " not looked at: %d more\n", len(skipped)-i)
			break
		}
		fmt.Fprintf(w, " not looked at: %s (%s)\n", excluded.Path.Show(), excluded.Why)
	}
}

// Diff writes the unified text of every change that can be applied. Text from the guest is
// escaped; without full it ends after some hundred lines and says so.
func (s *Set) Diff(w io.Writer, full bool) {
	out := &bounded{w: w, left: maxLines}
	if full {
		out.left = -1
	}
	for _, c := range s.Changes {
		if c.Refused != "" {
			continue
		}
		name := c.Path.Show()
		out.line("--- " + map[bool]string{true: "a/" + name, false: "/dev/null"}[c.Old.Kind != workspace.Absent] + c.marks())
		out.line("+++ " + map[bool]string{true: "b/" + name, false: "/dev/null"}[c.New.Kind != workspace.Absent])
		text := s.unified(&c)
		if c.Binary {
			out.line(fmt.Sprintf("not shown: %s -> %s", sizeOf(c.Old), sizeOf(c.New)))
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
			if line != "" {
				out.line(line)
			}
		}
	}
	if out.hidden > 0 {
		fmt.Fprintf(w, "... %d MORE LINES ARE NOT SHOWN (--full shows them)\n", out.hidden)
	}
}

// bounded writes safe lines, up to a number of them.
type bounded struct {
	w            io.Writer
	left, hidden int
}

func (b *bounded) line(text string) {
	if b.left == 0 {
		b.hidden++
		return
	}
	b.left--
	cut := ""
	if len(text) > maxLine && b.left >= 0 {
		cut = fmt.Sprintf(" ... %d more bytes", len(text)-maxLine)
		text = text[:maxLine]
	}
	fmt.Fprintf(b.w, "%s%s\n", printable.SafeText(text), cut)
}
