package manifest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"bottle.internal/internal/nearest"
)

// table reads the keys of one TOML table. Each reader remembers the key that it was
// asked for, so the code that reads a table is also its schema: [table.done] reports
// every other key.
type table struct {
	place
	values map[string]any
	pos    *pos
	asked  []string
}

// at is the place of a key.
func (t *table) at(key string) place {
	line := t.line
	if p := t.pos.key(key); p != nil {
		line = p.line
	}
	return place{src: t.src, line: line, field: joinField(t.field, key)}
}

func (t *table) bad(key, format string, args ...any) { t.at(key).bad(format, args...) }

// get returns the raw value of a key.
func (t *table) get(key string) (any, bool) {
	t.asked = append(t.asked, key)
	v, ok := t.values[key]
	return v, ok
}

func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok
}

// read returns a value of the wanted type, or reports the type that it has.
func read[T any](t *table, key, want string) (T, bool) {
	var none T
	v, ok := t.get(key)
	if !ok {
		return none, false
	}
	typed, ok := v.(T)
	if !ok {
		t.bad(key, "must be %s, not %s", want, kindOf(v))
	}
	return typed, ok
}

// text reads a string. The empty string is a problem: leaving the key out says the same.
func (t *table) text(key string) (string, bool) {
	text, ok := read[string](t, key, "a string")
	if ok && text == "" {
		t.bad(key, "is empty; leave it out or give it a value")
		return "", false
	}
	if ok && strings.ContainsRune(text, 0) {
		t.bad(key, "must not contain a NUL byte")
		return "", false
	}
	return text, ok
}

// required reads a string that must be there.
func (t *table) required(key, what string) (string, bool) {
	if !t.has(key) {
		t.asked = append(t.asked, key)
		t.place.bad("%s is missing: %s", key, what)
		return "", false
	}
	return t.text(key)
}

func (t *table) flag(key string) bool {
	flag, _ := read[bool](t, key, "true or false")
	return flag
}

// number reads an integer from 1 to top.
func (t *table) number(key string, top int64) int {
	number, ok := read[int64](t, key, "a whole number")
	if ok && (number < 1 || number > top || number > math.MaxInt32) {
		t.bad(key, "must be from 1 to %d, not %d", top, number)
		return 0
	}
	return int(number)
}

// table reads a sub-table; nil if there is none.
func (t *table) table(key string) *table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	values, ok := v.(map[string]any)
	if !ok {
		t.bad(key, "must be a table, not %s", kindOf(v))
		return nil
	}
	return &table{place: t.at(key), values: values, pos: t.pos.key(key)}
}

// namedTable is a table whose key is a name that the file chose.
type namedTable struct {
	name  string
	table *table
}

// named reads a table of tables, in the order of their names.
func (t *table) named(key string) []namedTable {
	outer := t.table(key)
	if outer == nil {
		return nil
	}
	var list []namedTable
	for _, name := range slices.Sorted(maps.Keys(outer.values)) {
		if one := outer.table(name); one != nil {
			list = append(list, namedTable{name, one})
		}
	}
	return list
}

// tables reads an array of tables. It is nil only without the key.
func (t *table) tables(key, example string) []*table {
	var list []*table
	for _, item := range t.list(key, example) {
		values, ok := item.v.(map[string]any)
		if !ok {
			item.bad("must be a table, not %s", kindOf(item.v))
			continue
		}
		list = append(list, &table{place: item.place, values: values, pos: item.pos})
	}
	return list
}

// element is one value of an array.
type element struct {
	place
	v   any
	pos *pos
}

// list reads an array of anything.
func (t *table) list(key, example string) []element {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	var raw []any
	switch v := v.(type) {
	case []any:
		raw = v
	case []map[string]any:
		for _, one := range v {
			raw = append(raw, one)
		}
	default:
		t.bad(key, "must be a list, not %s; for example: %s", kindOf(v), example)
		return nil
	}
	list := make([]element, 0, len(raw))
	for i, one := range raw {
		p := t.pos.key(key).item(i)
		at := t.at(key)
		at.field = fmt.Sprintf("%s[%d]", at.field, i)
		if p != nil {
			at.line = p.line
		}
		list = append(list, element{place: at, v: one, pos: p})
	}
	return list
}

// texts reads an array of strings and gives each to check, which reports its own
// problems and returns the normal form. Doubles are problems. nil means no key.
func (t *table) texts(key, example string, check func(place, string) (string, bool)) []string {
	items := t.list(key, example)
	if items == nil {
		return nil
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.v.(string)
		switch {
		case !ok:
			item.bad("must be a string, not %s", kindOf(item.v))
			continue
		case text == "":
			item.bad("is empty")
			continue
		}
		if text, ok = check(item.place, text); !ok {
			continue
		}
		if slices.Contains(list, text) {
			item.bad("%q is listed twice", text)
			continue
		}
		list = append(list, text)
	}
	return list
}

// done reports the keys that nothing asked for.
func (t *table) done() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.asked, key) {
			continue
		}
		if near := nearest.Of(key, t.asked); near != "" {
			t.bad(key, "unknown key; did you mean %q?", near)
			continue
		}
		known := slices.Clone(t.asked)
		slices.Sort(known)
		t.bad(key, "unknown key; known here: %s", strings.Join(slices.Compact(known), ", "))
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a decimal number"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date"
}

// joinField spells keys as TOML does; one that is absurdly long is cut.
func joinField(field, key string) string {
	if len(key) > 64 {
		key = key[:64] + "..."
	}
	quoted := toml.Key{key}.String()
	if strings.HasPrefix(quoted, `"`) {
		quoted = fmt.Sprintf("%q", key)
	}
	if field == "" {
		return quoted
	}
	return field + "." + quoted
}
