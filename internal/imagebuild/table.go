package imagebuild

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/BurntSushi/toml"
)

// table reads one TOML table and writes down what is wrong. Whatever was not asked for
// when finish is called is an unknown key.
type table struct {
	doc    *document
	path   string
	values map[string]any
	asked  map[string]bool
}

type document struct {
	file     string
	lines    map[string]int
	problems *Problems
}

func parse(file, text string, problems *Problems) (*table, bool) {
	doc := &document{file: file, lines: index(text), problems: problems}
	values := map[string]any{}
	if _, err := toml.Decode(text, &values); err != nil {
		line, message := 1, err.Error()
		if syntax := (toml.ParseError{}); errors.As(err, &syntax) {
			line, message = max(1, syntax.Position.Line), syntax.Message
			if message == "" {
				message = syntax.Error()
			}
		}
		problems.List = append(problems.List, Problem{File: file, Line: line, Text: message})
		return nil, false
	}
	return &table{doc: doc, values: values, asked: map[string]bool{}}, true
}

func (t *table) field(key string) string {
	if t.path == "" || key == "" {
		return t.path + key
	}
	return t.path + "." + key
}

// bad reports a problem of a key, or of the table itself if key is empty.
func (t *table) bad(key, format string, args ...any) {
	field := t.field(key)
	t.doc.problems.List = append(t.doc.problems.List, Problem{
		File: t.doc.file, Line: t.doc.line(field), Field: field, Text: fmt.Sprintf(format, args...),
	})
}

// get returns a key's value if it has the type T; what names that type for people.
func get[T any](t *table, key, what string) (T, bool) {
	t.asked[key] = true
	raw, present := t.values[key]
	value, ok := raw.(T)
	if present && !ok {
		t.bad(key, "must be %s", what)
	}
	return value, ok
}

func (t *table) text(key string) string {
	value, _ := get[string](t, key, "a string")
	return value
}

// required is text that must be there and not be empty.
func (t *table) required(key string) string {
	value, ok := get[string](t, key, "a string")
	if _, present := t.values[key]; !present || ok && value == "" {
		t.bad(key, "is missing")
	}
	return value
}

func (t *table) number(key string) int {
	value, ok := get[int64](t, key, "a whole number")
	if _, present := t.values[key]; !present {
		t.bad(key, "is missing")
	}
	if ok && (value < 1 || value > 65534) {
		t.bad(key, "must be between 1 and 65534")
	}
	return int(value)
}

func (t *table) texts(key string) []string {
	list, _ := get[[]any](t, key, "a list of strings")
	var all []string
	for _, one := range list {
		text, ok := one.(string)
		if !ok || text == "" {
			t.bad(key, "must be a list of strings that are not empty")
			return nil
		}
		all = append(all, text)
	}
	return all
}

// textMap is a table of strings.
func (t *table) textMap(key string) map[string]string {
	values, _ := get[map[string]any](t, key, "a table of strings")
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, ok := values[name].(string)
		if !ok {
			t.bad(key+"."+name, "must be a string")
		}
		all[name] = text
	}
	return all
}

// table is a table in this one, or nil.
func (t *table) table(key string) *table {
	values, ok := get[map[string]any](t, key, "a table")
	if !ok {
		return nil
	}
	return &table{doc: t.doc, path: t.field(key), values: values, asked: map[string]bool{}}
}

// tables is a list of tables, [[key]].
func (t *table) tables(key string) []*table {
	list, _ := get[[]map[string]any](t, key, "a list of tables, [["+key+"]]")
	var all []*table
	for i, values := range list {
		path := fmt.Sprintf("%s[%d]", t.field(key), i)
		all = append(all, &table{doc: t.doc, path: path, values: values, asked: map[string]bool{}})
	}
	return all
}

// finish reports the keys that nobody asked for.
func (t *table) finish() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !t.asked[key] {
			t.bad(key, "unknown field")
		}
	}
}
