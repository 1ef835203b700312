// Package schema says what a bottle.toml may hold: the keys of each table with their type,
// default and meaning, an example, and a mistake. The reference in docs/manifest.md and the
// JSON Schema that editors read are written from it.
//
// Invariants: the keys are those that internal/manifest reads, each example loads, and each
// mistake is refused with the text that the reference shows: the tests ask the loader. The
// JSON Schema refuses less than the loader does, never more. It is pure.
package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// FileName is what the JSON Schema is called where it is written.
const FileName = "bottle.schema.json"

// Table is one table of a manifest.
type Table struct {
	Title string // its heading, such as "[bottles.NAME]"
	Name  string // in the JSON Schema
	Head  string // what an example stands under
	Keys  []Key
	rules []*jsonschema.Schema // what the keys demand of each other
}

// Key is one key of a table.
type Key struct {
	Name     string
	Kind     Kind
	Required bool
	Default  string // in Markdown; "" for none
	Meaning  string // in Markdown
	Example  string // a value, in TOML
	With     string // lines without which the example has no meaning
	Mistake  string // a value that is refused, in TOML
}

// Kind is what a value may be: in words, and for a program.
type Kind struct {
	Words string
	value *jsonschema.Schema
}

// Tables are all tables of a manifest, in the order of the reference.
func Tables() []Table {
	return []Table{
		bottle(), resources(), egress(), route(), auth(), command(), git(), remote(), push(), gitUser(), agent(),
	}
}

// JSON is the JSON Schema of a manifest, draft 2020-12.
func JSON() ([]byte, error) {
	root := object(
		"What your AI coding agents may do: bottle.toml",
		map[string]*jsonschema.Schema{
			"bottles": named("What may be reached, and with which credentials.", "bottle"),
			"agents":  named("What runs, and in which bottle.", "agent"),
		})
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "bottle.toml"
	root.Defs = map[string]*jsonschema.Schema{}
	for _, table := range Tables() {
		root.Defs[table.Name] = table.schema()
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// named is a table whose keys are names that the file chooses.
func named(description, definition string) *jsonschema.Schema {
	return &jsonschema.Schema{
		Description: description, Type: "object",
		PropertyNames:        &jsonschema.Schema{Pattern: namePattern, MaxLength: new(maxName)},
		AdditionalProperties: reference(definition),
	}
}

func reference(definition string) *jsonschema.Schema {
	return &jsonschema.Schema{Ref: "#/$defs/" + definition}
}

// object is a table that has these keys and no others.
func object(description string, keys map[string]*jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{
		Description: description, Type: "object", Properties: keys,
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
}

// plain is Markdown without links: they lead nowhere in an editor.
func plain(markdown string) string {
	for {
		before, rest, found := strings.Cut(markdown, "](")
		text := strings.LastIndexByte(before, '[')
		_, after, closed := strings.Cut(rest, ")")
		if !found || text < 0 || !closed {
			return markdown
		}
		markdown = before[:text] + before[text+1:] + after
	}
}

func (t Table) schema() *jsonschema.Schema {
	keys := map[string]*jsonschema.Schema{}
	whole := object(t.Title, keys)
	for _, key := range t.Keys {
		value := *key.Kind.value
		value.Description = plain(key.Meaning)
		if key.Default != "" {
			value.Description += ". Default: " + plain(key.Default) + "."
		}
		keys[key.Name] = &value
		whole.PropertyOrder = append(whole.PropertyOrder, key.Name)
		if key.Required {
			whole.Required = append(whole.Required, key.Name)
		}
	}
	whole.AllOf = t.rules
	return whole
}
