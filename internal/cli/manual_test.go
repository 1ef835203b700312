package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/app"
	"bottle.internal/internal/execx"
	"bottle.internal/tests/golden"
	"bottle.internal/tests/need"
)

// The reference is what --help says today.
func TestReference(t *testing.T) {
	t.Parallel()
	golden.Check(t, "../../docs/cli.md", reference())
}

// Every command has a page; all are written, the same bytes every time.
func TestManualIsWhole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man", "man1")
	var out bytes.Buffer
	s := &session{Streams: Streams{Stdout: &out}}
	if err := s.writeManual(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands() {
		text, err := os.ReadFile(filepath.Join(dir, "bottle-"+c.name+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(text, c.page()) {
			t.Errorf("the page of %s differs from one time to the next", c.name)
		}
		flags, _ := c.flags(&app.Config{})
		for _, part := range []string{".SH EXAMPLES\n.EX\nbottle ", `\fB\-\-manifest\fR \fIfile\fR`, ".TH BOTTLE"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("the page of %s has no %q", c.name, part)
			}
		}
		if flags.Lookup("manifest") == nil {
			t.Errorf("%s has no flag --manifest", c.name)
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != len(commands())+1 {
		t.Errorf("%d pages, want %d", lines, len(commands())+1)
	}
}

// The readers of manual pages take them: no warning, no lost line.
func TestManualIsRoff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &session{Streams: Streams{Stdout: &bytes.Buffer{}}}
	if err := s.writeManual(dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	readers := 0
	for _, reader := range [][]string{
		{"groff", "-man", "-ww", "-z", "-Tutf8"},
		{"mandoc", "-T", "lint", "-W", "error"},
	} {
		tool, err := execx.Find(reader[0])
		if errors.Is(err, execx.ErrNotFound) {
			t.Logf("%s is not there", reader[0])
			continue
		}
		readers++
		for _, page := range pages {
			var said bytes.Buffer
			process, err := execx.Start(t.Context(), execx.Cmd{Path: tool, Args: append(slices.Clone(reader[1:]), page), Stdout: &said, Stderr: &said})
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Wait(); err != nil || said.Len() > 0 {
				t.Errorf("%s %s: %v: %s", reader[0], filepath.Base(page), err, said.String())
			}
		}
	}
	if readers == 0 {
		need.Need(t, "mandoc", errors.New("neither groff nor mandoc is here"))
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":           "plain",
		".so /etc/passwd": `\&.so /etc/passwd`,
		"a\n'b":           "a\n\\&'b",
		`--a \n`:          `\-\-a \en`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	got := blocksOf("One\ntwo\n\nThree\n  bottle a\n  bottle b\n\n  bottle c\n")
	want := []block{{false, "One\ntwo"}, {false, "Three"}, {true, "bottle a\nbottle b"}, {true, "bottle c"}}
	if !slices.Equal(got, want) {
		t.Errorf("blocksOf() = %+v", got)
	}
}

var (
	aside       = regexp.MustCompile(` {3,}.*$`) // what an example is for
	redirect    = regexp.MustCompile(` *[<>].*$`)
	exampleWord = regexp.MustCompile(`'[^']*'|\S+`)
)

// Every command shows how it is used, and what it shows is understood.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		examples := 0
		for _, b := range blocksOf(c.help) {
			if !b.example {
				continue
			}
			for line := range strings.SplitSeq(b.text, "\n") {
				line = redirect.ReplaceAllString(aside.ReplaceAllString(line, ""), "")
				rest, ours := strings.CutPrefix(line, "bottle "+c.name)
				if !ours {
					continue
				}
				examples++
				flags, _ := c.flags(&app.Config{})
				if err := flags.Parse(exampleWord.FindAllString(rest, -1)); err != nil {
					t.Errorf("%s: %v", line, err)
				}
				if flags.NArg() > 0 && c.args == "" {
					t.Errorf("%s: it takes no arguments", line)
				}
			}
		}
		if examples == 0 {
			t.Errorf("the help of %s has no example", c.name)
		}
		if c.summary == "" || strings.HasSuffix(c.summary, ".") || c.summary[0] < 'a' || c.summary[0] > 'z' {
			t.Errorf("the summary of %s is %q", c.name, c.summary)
		}
	}
}

func TestManualCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &session{Streams: Streams{Stdout: &bytes.Buffer{}}}
	if err := s.writeManual(path); !errors.Is(err, fs.ErrExist) && !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("writeManual() = %v", err)
	}
}
