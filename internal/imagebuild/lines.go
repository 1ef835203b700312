package imagebuild

import (
	"fmt"
	"strings"
)

// index finds the line of every field of a TOML text that the parser accepts: the
// parser itself tells lines for syntax errors only. A field inside an inline table has
// no line of its own; document.line falls back to what encloses it.
func index(text string) map[string]int {
	lines := map[string]int{}
	count := map[string]int{} // of [[array]] headers
	prefix, open := "", ""
	depth := 0
	for number, line := range strings.Split(text, "\n") {
		if open == "" && depth == 0 {
			trimmed := strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(trimmed, "[["):
				name := dotted(strings.SplitN(trimmed[2:], "]]", 2)[0])
				prefix = fmt.Sprintf("%s[%d]", name, count[name])
				count[name]++
				lines[prefix] = number + 1
				continue
			case strings.HasPrefix(trimmed, "["):
				prefix = within(dotted(strings.SplitN(trimmed[1:], "]", 2)[0]), count)
				lines[prefix] = number + 1
				continue
			case trimmed == "" || trimmed[0] == '#':
				continue
			}
			if key, _, ok := strings.Cut(trimmed, "="); ok {
				field := dotted(key)
				if prefix != "" {
					field = prefix + "." + field
				}
				lines[field] = number + 1
			}
		}
		open, depth = follow(line, open, depth)
	}
	return lines
}

// dotted is a key without spaces and quotes around its parts.
func dotted(key string) string {
	parts := strings.Split(strings.TrimSpace(key), ".")
	for i, part := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(part), `"'`)
	}
	return strings.Join(parts, ".")
}

// within puts [npm.amd64] into the latest [[npm]].
func within(name string, count map[string]int) string {
	first, rest, ok := strings.Cut(name, ".")
	if n := count[first]; ok && n > 0 {
		return fmt.Sprintf("%s[%d].%s", first, n-1, rest)
	}
	return name
}

// follow tells whether a line ends inside a long string (its quotes) or inside
// brackets (their number).
func follow(line, open string, depth int) (string, int) {
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		if open != "" {
			switch {
			case rest[0] == '\\' && open[0] == '"':
				i++
			case strings.HasPrefix(rest, open):
				i += len(open) - 1
				open = ""
			}
			continue
		}
		switch rest[0] {
		case '#':
			return short(open), depth
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '"', '\'':
			open = rest[:1]
			if strings.HasPrefix(rest, strings.Repeat(open, 3)) {
				open = strings.Repeat(open, 3)
				i += 2
			}
		}
	}
	return short(open), depth
}

// short strings end with their line at the latest.
func short(open string) string {
	if len(open) == 1 {
		return ""
	}
	return open
}

// line is where a field is, or what encloses it.
func (d *document) line(field string) int {
	for {
		if line, ok := d.lines[field]; ok {
			return line
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			return 1
		}
		field = field[:cut]
	}
}
