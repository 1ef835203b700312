package timeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/printable"
)

// Describe is what happened, without time and source, on one line that is safe to print.
func (r Record) Describe() string {
	switch {
	case r.Source == Agent && r.Event == eventOutput:
		return oneLine(strings.TrimRight(r.Text, "\r\n"))
	case r.Source == Agent:
		return oneLine(r.Event + " " + strings.TrimRight(r.Text, "\r\n"))
	}
	f, ok := parse(r.Fields)
	if !ok {
		return oneLine(strings.TrimSpace(r.Event + " " + string(r.Fields)))
	}
	// The time is the host's, the numbers tell a daemon's own lines apart.
	for _, name := range []string{"event", "time", "id", "push", "route"} {
		delete(f, name)
	}
	words := []string{r.Event, f.take("text"), f.take("method"), f.target(), f.take("remote"), f.refs()}
	if r.Event == "text" && words[1] != "" {
		words[0] = "" // a program that did not name what it says
	}
	text := strings.Join(slices.DeleteFunc(words, empty), " ")
	if why := slices.DeleteFunc([]string{f.take("reason"), f.take("problem")}, empty); len(why) > 0 {
		text += " : " + strings.Join(why, ": ")
	}
	if rest := f.rest(); len(rest) > 0 {
		text += " (" + strings.Join(rest, " ") + ")"
	}
	return oneLine(text)
}

// Target is what a request was for, as far as a record says so: a host with a path, a remote
// or a tool. It is safe to print, and short.
func (r Record) Target() string {
	f, ok := parse(r.Fields)
	if !ok {
		return ""
	}
	for _, name := range []string{f.target(), f.take("remote"), f.take("tool"), f.take("rule")} {
		if name != "" {
			return oneLine(name)
		}
	}
	return ""
}

func empty(word string) bool { return word == "" }

// oneLine escapes line breaks and tabs too: a record is one line, whatever is in it.
func oneLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(printable.SafeText(text))
}

// fields are what is left to say of a record.
type fields map[string]any

func parse(raw json.RawMessage) (fields, bool) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a number stays as it was written
	var f fields
	return f, decoder.Decode(&f) == nil && f != nil
}

// take returns a field as text and forgets it. What is nested stays.
func (f fields) take(name string) string {
	var text string
	switch value := f[name].(type) {
	case string:
		text = value
	case json.Number:
		text = value.String()
	case bool:
		text = strconv.FormatBool(value)
	default:
		return ""
	}
	delete(f, name)
	return text
}

// target is host, port and path. The usual ports say nothing.
func (f fields) target() string {
	host := f.take("host")
	if host == "" {
		return ""
	}
	if port := f.take("port"); port != "" && port != "443" && port != "80" {
		host += ":" + port
	}
	return host + f.take("path")
}

// refs is "refs/heads/x 1234567..89abcde" of every ref of a push.
func (f fields) refs() string {
	list, ok := f["refs"].([]any)
	if !ok {
		return ""
	}
	var all []string
	for _, value := range list {
		ref, ok := value.(map[string]any)
		name, named := ref["ref"].(string)
		if !ok || !named {
			return ""
		}
		all = append(all, fmt.Sprintf("%s %.7s..%.7s", name, fmt.Sprint(ref["old"]), fmt.Sprint(ref["new"])))
	}
	delete(f, "refs")
	return strings.Join(all, " ")
}

// maxNested is how much of a list or a table still helps on one line.
const maxNested = 240

// nested is a list or a table as it is, or how much it holds: a receipt has pages of probes.
func nested(value any, raw string) string {
	if len(raw) <= maxNested {
		return raw
	}
	switch value := value.(type) {
	case []any:
		return fmt.Sprintf("[%d entries]", len(value))
	case map[string]any:
		return fmt.Sprintf("{%d entries}", len(value))
	}
	return raw
}

// rest is everything that is left as name=value, by name.
func (f fields) rest() []string {
	var names, words []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text := f.take(name)
		if text == "" {
			raw, err := json.Marshal(f[name])
			if err != nil || string(raw) == "null" {
				continue
			}
			text = nested(f[name], string(raw))
		} else if strings.ContainsAny(text, " \t\n\"") {
			text = strconv.Quote(text)
		}
		words = append(words, name+"="+text)
	}
	return words
}
