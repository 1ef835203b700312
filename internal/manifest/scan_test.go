package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/BurntSushi/toml"
)

// TestScan: the line of every key and element, in all the spellings of TOML.
func TestScan(t *testing.T) {
	t.Parallel()
	const document = `a = 1
"b\u0063" . 'd e' = """
line
two \""" and ""\
"""""
c = '''
'''''
f = [ # comment ]
  1, [2, "]"],
  { x = 1,
    y = "#" },
]
[g.h]
i = 1979-05-27 07:32:00
[[j]]
[[j]]
k.l = { m = 'a\' }
[j.n]
o = 1
[[j.p]]
`
	root, err := scan(document)
	if err != nil {
		t.Fatal(err)
	}
	j := root.key("j")
	for name, test := range map[string]struct {
		at   *pos
		line int
	}{
		"a":          {root.key("a"), 1},
		"bc.'d e'":   {root.key("bc").key("d e"), 2},
		"c":          {root.key("c"), 6},
		"f":          {root.key("f"), 8},
		"f[0]":       {root.key("f").item(0), 9},
		"f[1][1]":    {root.key("f").item(1).item(1), 9},
		"f[2]":       {root.key("f").item(2), 10},
		"f[2].y":     {root.key("f").item(2).key("y"), 11},
		"g":          {root.key("g"), 13},
		"g.h.i":      {root.key("g").key("h").key("i"), 14},
		"j[0]":       {j.item(0), 15},
		"j[1]":       {j.item(1), 16},
		"j[1].k.l.m": {j.item(1).key("k").key("l").key("m"), 17},
		"j[1].n.o":   {j.item(1).key("n").key("o"), 19},
		"j[1].p[0]":  {j.item(1).key("p").item(0), 20},
	} {
		if test.at == nil || test.at.line != test.line {
			t.Errorf("%s is at %+v, want line %d", name, test.at, test.line)
		}
	}
	checkPositions(t, document, root)
}

// checkPositions demands a position for everything that the parser found.
func checkPositions(t *testing.T, document string, root *pos) {
	t.Helper()
	values := map[string]any{}
	if _, err := toml.Decode(document, &values); err == nil {
		walk(t, "", values, root)
	}
}

func walk(t *testing.T, path string, v any, at *pos) {
	t.Helper()
	if at == nil || at.line < 1 {
		t.Errorf("%s has no position", path)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			walk(t, path+"."+toml.Key{key}.String(), value, at.key(key))
		}
	case []any:
		for i, value := range v {
			walk(t, fmt.Sprintf("%s[%d]", path, i), value, at.item(i))
		}
	case []map[string]any:
		for i, value := range v {
			walk(t, fmt.Sprintf("%s[%d]", path, i), value, at.item(i))
		}
	}
}

// FuzzScan: what the parser accepts, the scanner has understood whole, so its limits
// held; and it never panics.
func FuzzScan(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, seed := range []string{"a=[{b=1},\n]", "a.b=\"\"\"\\\n\"\"\"", "\"\\u0041\"=1", "[[a]]\n[a.b]\nc=1", "a={b={c=[1]}}", "''=1", "a=\"\\\"\"", "\ufeffa=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		root, err := scan(document)
		if err != nil && !errors.Is(err, errNotTOML) {
			return
		}
		values := map[string]any{}
		if _, parseErr := toml.Decode(document, &values); parseErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("the parser accepts what the scanner does not: %q", document)
		}
		walk(t, "", values, root)
	})
}
