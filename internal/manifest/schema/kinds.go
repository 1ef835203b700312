package schema

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

const (
	maxName     = 32
	namePattern = `^[a-z][a-z0-9]*(-[a-z0-9]+)*$`
	// hostPattern is wider than what the loader takes: it is there for the usual slips.
	hostPattern = `^[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+(:[1-9][0-9]{0,4})?$`
)

func text() Kind {
	return Kind{"string", &jsonschema.Schema{Type: "string", MinLength: new(1)}}
}

func path() Kind { return text().as("path") }

// like is a string that a pattern describes.
func like(words, pattern string) Kind {
	return Kind{words, &jsonschema.Schema{Type: "string", Pattern: pattern}}
}

func name() Kind {
	kind := like("name", namePattern)
	kind.value.MaxLength = new(maxName)
	return kind
}

func boolean() Kind { return Kind{"true or false", &jsonschema.Schema{Type: "boolean"}} }

func (k Kind) as(words string) Kind {
	k.Words = words
	return k
}

// oneOf is a string of a few.
func oneOf(values ...string) Kind {
	kind := Kind{value: &jsonschema.Schema{Type: "string"}}
	words := make([]string, 0, len(values))
	for _, value := range values {
		words = append(words, "`\""+value+"\"`")
		kind.value.Enum = append(kind.value.Enum, value)
	}
	kind.Words = strings.Join(words, " or ")
	if last := len(words) - 1; last > 1 {
		kind.Words = strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return kind
}

// list is a list whose values differ.
func list(words string, item Kind) Kind {
	return Kind{words, &jsonschema.Schema{Type: "array", Items: item.value, UniqueItems: true}}
}

func (k Kind) notEmpty() Kind {
	k.value.MinItems = new(1)
	return k
}

// arguments are a program and what it is told.
func arguments() Kind {
	kind := Kind{"list of strings", &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}}
	kind.value.PrefixItems = []*jsonschema.Schema{text().value}
	return kind.notEmpty()
}

func number(words string, low, top float64) Kind {
	return Kind{words, &jsonschema.Schema{Type: "integer", Minimum: new(low), Maximum: new(top)}}
}

// inner is a table of its own.
func inner(definition string) Kind { return Kind{"table", reference(definition)} }

// tables is a list of tables.
func tables(definition string) Kind {
	return Kind{"list of tables", &jsonschema.Schema{Type: "array", Items: reference(definition)}}
}

func hosts() Kind {
	kind := list("list of hosts, at most 8", like("host", `^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[Tt][Ee][Ss][Tt]$`))
	kind.value.MaxItems = new(8)
	return kind
}

func ranges() Kind {
	return list("list of ranges such as `\"10.1.0.0/16\"`", like("range", `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`)).notEmpty()
}

// variables is a table of strings whose keys are names of variables.
func variables() Kind {
	return Kind{"table of strings", &jsonschema.Schema{
		Type: "object", PropertyNames: &jsonschema.Schema{Pattern: `^[A-Za-z_][A-Za-z0-9_]{0,127}$`},
		AdditionalProperties: &jsonschema.Schema{Type: "string"},
	}}
}

// needs says which keys must stand beside one.
func needs(key string, others ...string) *jsonschema.Schema {
	return &jsonschema.Schema{DependentRequired: map[string][]string{key: others}}
}

// needsOne says that at least one of the others must stand beside a key.
func needsOne(key string, others ...string) *jsonschema.Schema {
	some := &jsonschema.Schema{}
	for _, other := range others {
		some.AnyOf = append(some.AnyOf, &jsonschema.Schema{Required: []string{other}})
	}
	return &jsonschema.Schema{DependentSchemas: map[string]*jsonschema.Schema{key: some}}
}

// notBoth says that two keys exclude each other.
func notBoth(one, other string) *jsonschema.Schema {
	return &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{one, other}}}
}
