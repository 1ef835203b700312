package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// tool is one that the agent offers.
type tool struct {
	name        string
	namespace   string // OpenAI's: the group that it is in, or ""
	kind        kind
	schema      schema // of its arguments
	description string // of a codeMode tool: it lists the tools that a program can call
}

// kind is how a tool is called.
type kind int

const (
	function   kind = iota
	localShell      // OpenAI's built-in one
	codeMode        // Codex: a program in JavaScript calls the other tools
)

// schema is the part of a JSON schema that is looked at.
type schema struct {
	Type       json.RawMessage   `json:"type"` // a word, or a list of them
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []json.RawMessage `json:"enum"`
}

// The names of the shell in Claude Code, Codex and OpenCode.
func shellNames() []string {
	return []string{"bash", "shell", "exec_command", "shell_command", "local_shell", "container.exec"}
}

// isShell reports a tool that runs a command: by its name, and by having a place for one.
func (t tool) isShell() bool {
	if t.kind == codeMode {
		return strings.Contains(t.description, codeShell)
	}
	return t.kind == localShell || slices.Contains(shellNames(), strings.ToLower(t.name)) && t.commandKey() != ""
}

func (t tool) commandKey() string {
	for _, key := range []string{"command", "cmd"} {
		if _, ok := t.schema.Properties[key]; ok {
			return key
		}
	}
	return ""
}

// use finds the tool for a step and fills in its arguments.
func (s Step) use(tools []tool) (tool, map[string]any, bool) {
	for _, t := range tools {
		switch {
		case s.Shell != "" && t.isShell():
			return t, t.shellArguments(s), true
		case s.Tool != "" && t.kind == codeMode:
			return t, map[string]any{codeArgument: s.code()}, true
		case s.Tool != "" && (plain(t.name) == plain(s.Tool) || strings.HasSuffix(plain(t.name), "_"+plain(s.Tool))):
			return t, map[string]any{}, true
		}
	}
	return tool{}, nil, false
}

// plain evens out how agent programs rewrite a name.
func plain(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// The patience that a shell tool is told to have: a clone in an emulated machine takes longer
// than agents expect.
const (
	patienceMillis = 120_000
	yieldMillis    = 30_000
)

// shellArguments follow the tool's own schema.
func (t tool) shellArguments(s Step) map[string]any {
	if t.kind == codeMode {
		return map[string]any{codeArgument: s.code()}
	}
	if t.kind == localShell {
		return map[string]any{"command": []string{"bash", "-c", s.Shell}}
	}
	arguments := map[string]any{}
	for name := range t.schema.Properties {
		switch name {
		case "timeout", "timeout_ms":
			arguments[name] = patienceMillis
		case "yield_time_ms":
			arguments[name] = yieldMillis
		case "description":
			arguments[name] = s.Name
		}
	}
	key := t.commandKey()
	arguments[key] = s.Shell
	if t.schema.Properties[key].is("array") {
		arguments[key] = []string{"bash", "-c", s.Shell}
	}
	return arguments
}

func (s schema) is(kind string) bool {
	var word string
	if json.Unmarshal(s.Type, &word) == nil {
		return word == kind
	}
	var words []string
	return json.Unmarshal(s.Type, &words) == nil && slices.Contains(words, kind)
}

const maxDepth = 8

// example is the smallest value of a schema.
func (s schema) example(depth int) any {
	switch {
	case depth > maxDepth:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.is("object"):
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = property.example(depth + 1)
		}
		return object
	case s.is("array"):
		return []any{}
	case s.is("boolean"):
		return false
	case s.is("integer"), s.is("number"):
		return 0
	}
	return "A scripted task"
}

const callPrefix = "bottle_"

// callID names the use of a tool by the step, so that its result says which one it was.
func callID(step int) string { return fmt.Sprintf("call_%s%d", callPrefix, step) }

// stepOf reads a number of callID; agent programs may put words before it.
func stepOf(id string) (int, bool) {
	at := strings.LastIndex(id, callPrefix)
	if at < 0 {
		return 0, false
	}
	step, err := strconv.Atoi(id[at+len(callPrefix):])
	return step, err == nil && step >= 0 && step < maxSteps
}
