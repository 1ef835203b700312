package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/starter"
	"bottle.internal/tests/golden"
)

const root = "../../../"

// The reference and the schema are written from the tables; between the marks in
// docs/manifest.md nothing is written by hand.
func TestReference(t *testing.T) {
	t.Parallel()
	page := read(t, root+"docs/manifest.md")
	for _, table := range Tables() {
		begin, end := "<!-- table "+table.Name+" -->\n", "<!-- end -->\n"
		before, rest, found := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("docs/manifest.md has no %q", begin)
		}
		page = before + begin + table.markdown(t) + end + after
	}
	golden.Check(t, root+"docs/manifest.md", []byte(page))
	text, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, root+"docs/"+FileName, text)
}

// The loader knows the same keys: it lists them where it finds one that it does not know.
func TestKeysAreTheLoaders(t *testing.T) {
	t.Parallel()
	_, err := manifest.Load(source(read(t, "../testdata/unknown.toml")))
	problems := (*manifest.Problems)(nil)
	if !errors.As(err, &problems) {
		t.Fatalf("Load() = %v", err)
	}
	loaders := map[string]bool{}
	for _, problem := range problems.List {
		_, keys, _ := strings.Cut(problem.Text, "known here: ")
		loaders[keys] = true
	}
	ours := map[string]bool{"agents, bottles": true}
	for _, table := range Tables() {
		names := make([]string, 0, len(table.Keys))
		for _, key := range table.Keys {
			names = append(names, key.Name)
		}
		slices.Sort(names)
		ours[strings.Join(names, ", ")] = true
	}
	if !maps.Equal(loaders, ours) {
		t.Errorf("the loader's tables:\n%s\nours:\n%s",
			strings.Join(slices.Sorted(maps.Keys(loaders)), "\n"), strings.Join(slices.Sorted(maps.Keys(ours)), "\n"))
	}
}

// Each example loads and satisfies the schema; each mistake is refused by both.
func TestExamplesAndMistakes(t *testing.T) {
	t.Parallel()
	check := compile(t)
	for _, table := range Tables() {
		for _, key := range table.Keys {
			good := table.sample(key, key.Example)
			if _, err := manifest.Load(source(good)); err != nil {
				t.Errorf("%s, %s: the example is refused: %v\n%s", table.Title, key.Name, err, good)
			}
			if err := check(good); err != nil {
				t.Errorf("%s, %s: the example is against the schema: %v\n%s", table.Title, key.Name, err, good)
			}
			bad := table.sample(key, key.Mistake)
			if said(table, key) == "" {
				t.Errorf("%s, %s: the loader takes the mistake:\n%s", table.Title, key.Name, bad)
			}
			if check(bad) == nil {
				t.Errorf("%s, %s: the schema takes the mistake:\n%s", table.Title, key.Name, bad)
			}
		}
	}
}

// What keys demand of each other.
func TestWrongManifests(t *testing.T) {
	t.Parallel()
	check := compile(t)
	const route = "[[bottles.b.egress.routes]]\nhost = \"a.test\"\n"
	for name, text := range map[string]string{
		"an unknown table":          "[policies]\n",
		"an unknown key":            "[bottles.b]\nsupervised = true\n",
		"a bad name":                "[bottles.\"a/../b\"]\n",
		"no host":                   "[[bottles.b.egress.routes]]\nmethods = [\"GET\"]\n",
		"an empty list":             route + "methods = []\n",
		"a value twice":             route + "methods = [\"GET\", \"GET\"]\n",
		"auth alone":                route + "auth = { header = \"X\", token = \"env:T\" }\n",
		"a token that is one":       route + "methods = [\"GET\"]\npaths = [\"/\"]\nauth = { header = \"X\", token = \"ghp_0123456789\" }\n",
		"minting without auth":      route + "allow_mint = true\n",
		"a plain route's websocket": route + "websocket = true\n",
		"both ways to be private":   route + "address = \"private\"\nallow_private = [\"10.0.0.0/8\"]\n",
		"a model without a name":    "[bottles.b]\nmodel = \"model.test\"\n",
		"nine echo names":           "[bottles.b]\necho = [\"a.test\", \"b.test\", \"c.test\", \"d.test\", \"e.test\", \"f.test\", \"g.test\", \"h.test\", \"i.test\"]\n",
		"an agent without a bottle": "[agents.a]\ntemplate = \"shell\"\n",
		"two prompts":               "[bottles.b]\n[agents.a]\nbottle = \"b\"\ntemplate = \"shell\"\nprompt = \"x\"\nprompt_file = \"y\"\n",
	} {
		if _, err := manifest.Load(source(text)); err == nil {
			t.Errorf("%s: the loader takes it", name)
		}
		if check(text) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// Every manifest that we show satisfies the schema: an editor must not mark one as wrong.
func TestOurManifests(t *testing.T) {
	t.Parallel()
	check := compile(t)
	files, err := filepath.Glob("../testdata/[ef]*.toml")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, root+"bottle.toml") {
		if err := check(read(t, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, template := range starter.Templates() {
		for _, try := range []bool{false, true} {
			text, err := starter.Manifest(starter.Options{Template: template, Try: try})
			if err != nil {
				t.Fatal(err)
			}
			if err := check(text); err != nil {
				t.Errorf("bottle init --template %s --try=%v: %v", template, try, err)
			}
		}
	}
	pages, err := filepath.Glob(root + "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, page := range append(pages, root+"README.md") {
		for i, block := range strings.Split(read(t, page), "```toml\n") {
			example, _, _ := strings.Cut(block, "```")
			if i == 0 {
				continue
			}
			shown++
			if err := check(example); err != nil {
				t.Errorf("%s, example %d: %v", page, i, err)
			}
		}
	}
	if shown < 6 {
		t.Errorf("only %d examples in the docs", shown)
	}
}

// compile returns what holds a manifest against the schema, by another program than ours.
func compile(t *testing.T) func(string) error {
	t.Helper()
	text, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(FileName, document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(FileName)
	if err != nil {
		t.Fatal(err)
	}
	return func(manifest string) error {
		values := map[string]any{}
		if _, err := toml.Decode(manifest, &values); err != nil {
			return err
		}
		text, err := json.Marshal(values)
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return compiled.Validate(value)
	}
}

func source(text string) manifest.Sources {
	return manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sample is a whole manifest in which one key has this value. Other keys that the table
// needs have their examples.
func (t Table) sample(key Key, value string) string {
	text := t.Head + "\n"
	for _, other := range t.Keys {
		if other.Required && other.Name != key.Name {
			text += other.Name + " = " + other.Example + "\n"
		}
	}
	text += key.Name + " = " + value + "\n"
	if key.With != "" {
		text += key.With + "\n"
	}
	return text
}

// said is what the loader says to a mistake.
func said(table Table, key Key) string {
	_, err := manifest.Load(source(table.sample(key, key.Mistake)))
	problems := (*manifest.Problems)(nil)
	if !errors.As(err, &problems) {
		return ""
	}
	for _, problem := range problems.List {
		if _, ours, found := strings.Cut(problem.Field, key.Name); found {
			return key.Name + ours + ": " + problem.Text
		}
	}
	return ""
}

func (t Table) markdown(test *testing.T) string {
	test.Helper()
	var out strings.Builder
	out.WriteString("| field | type | default | meaning |\n|---|---|---|---|\n")
	for _, key := range t.Keys {
		kind, none := key.Kind.Words, key.Default
		switch {
		case key.Required:
			kind += ", required"
		case none == "":
			none = "none"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", key.Name, kind, none, key.Meaning)
	}
	out.WriteString("\n<details><summary>examples, and what is said to a mistake</summary>\n\n| an example | a mistake | what is said |\n|---|---|---|\n")
	for _, key := range t.Keys {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", code(key.Name+" = "+key.Example), code(key.Mistake), code(said(t, key)))
	}
	out.WriteString("\n</details>\n")
	return out.String()
}

func code(text string) string { return "`` " + strings.ReplaceAll(text, "|", `\|`) + " ``" }
