package cli

import (
	"maps"
	"slices"
	"testing"
)

func TestMageArgs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args  []string
		agent string // of the environment
		want  []string
		env   map[string]string
	}{
		{args: []string{"mage", "run", "demo"}, want: []string{"mage", "run", "demo"}},
		{args: []string{"mage", "run", "AGENT=demo"}, want: []string{"mage", "run", "demo"}, env: map[string]string{"AGENT": "demo"}},
		{args: []string{"mage", "AGENT=demo", "run"}, want: []string{"mage", "run", "demo"}, env: map[string]string{"AGENT": "demo"}},
		{args: []string{"mage", "run"}, agent: "demo", want: []string{"mage", "run", "demo"}},
		{args: []string{"mage", "run", "AGENT=shell"}, agent: "demo", want: []string{"mage", "run", "shell"}, env: map[string]string{"AGENT": "shell"}},
		{args: []string{"mage", "run"}, want: []string{"mage", "run", ""}},
		{args: []string{"mage", "images", "AGENT=claude"}, want: []string{"mage", "images"}, env: map[string]string{"AGENT": "claude"}},
		{args: []string{"mage", "-h", "run"}, want: []string{"mage", "-h", "run"}},
		{args: []string{"mage", "run", "a=b"}, want: []string{"mage", "run", "a=b"}},
		{args: []string{"mage"}, want: []string{"mage"}},
	} {
		got, env := MageArgs(test.args, test.agent)
		if !slices.Equal(got, test.want) || !maps.Equal(env, test.env) {
			t.Errorf("MageArgs(%q, %q) = %q, %v; want %q, %v", test.args, test.agent, got, env, test.want, test.env)
		}
	}
}
