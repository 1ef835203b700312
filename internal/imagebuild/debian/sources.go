// Package debian makes a base file system from Debian packages with mmdebstrap, where
// no image registry answers.
//
// Packages come from the apt sources of this host, with the signatures that those
// demand. Which versions would be installed is resolved first and without installing
// anything; a base that turned out to have others is refused, so the key that was made
// of them tells the truth. The same versions give the same bytes.
package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Source is one entry of apt's sources, in the terms of the deb822 format.
type Source struct {
	File   string // where it was found
	Line   int
	Fields map[string]string // field names in lower case: uris, suites, components, signed-by, trusted, ...
}

func (s Source) words(field string) []string { return strings.Fields(s.Fields[field]) }

// ReadSources reads sources.list and sources.list.d of etc, the host's /etc/apt.
func ReadSources(etc fs.FS) ([]Source, error) {
	names := []string{"sources.list"}
	for _, pattern := range []string{"sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, err := fs.Glob(etc, pattern)
		if err != nil {
			return nil, fmt.Errorf("reading the apt sources: %w", err)
		}
		names = append(names, found...)
	}
	var all []Source
	for _, name := range names {
		text, err := fs.ReadFile(etc, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the apt sources: %w", err)
		}
		parse := parseList
		if strings.HasSuffix(name, ".sources") {
			parse = parseStanzas
		}
		all = append(all, parse(path.Join("/etc/apt", name), string(text))...)
	}
	return all, nil
}

// parseList reads the one-line format: deb [option=value ...] URI SUITE COMPONENT...
func parseList(file, text string) []Source {
	var all []Source
	for number, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue
		}
		source := Source{File: file, Line: number + 1, Fields: map[string]string{"types": "deb"}}
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(options, "[") {
			for option := range strings.FieldsSeq(options[1:]) {
				name, value, _ := strings.Cut(option, "=")
				source.Fields[longName(strings.ToLower(name))] = strings.ReplaceAll(value, ",", " ")
			}
			rest = after
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			continue
		}
		source.Fields["uris"], source.Fields["suites"] = words[0], words[1]
		source.Fields["components"] = strings.Join(words[2:], " ")
		all = append(all, source)
	}
	return all
}

// longName is the deb822 name of a one-line option.
func longName(option string) string {
	if option == "arch" {
		return "architectures"
	}
	return option
}

// parseStanzas reads the deb822 format.
func parseStanzas(file, text string) []Source {
	var all []Source
	current := Source{File: file, Fields: map[string]string{}}
	field := ""
	for number, line := range strings.Split(text+"\n\n", "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case trimmed == "":
			if len(current.Fields) > 0 && current.Fields["enabled"] != "no" && slices.Contains(current.words("types"), "deb") {
				all = append(all, current)
			}
			current, field = Source{File: file, Fields: map[string]string{}}, ""
		case line[0] == ' ' || line[0] == '\t':
			current.Fields[field] += "\n" + line
		default:
			name, value, _ := strings.Cut(line, ":")
			field = strings.ToLower(strings.TrimSpace(name))
			current.Fields[field] = strings.TrimSpace(value)
			if current.Line == 0 {
				current.Line = number + 1
			}
		}
	}
	return all
}

// Select returns the sources of a suite, its updates and its security fixes for an
// architecture. What would let packages in without a signature is refused, as is a
// password: the sources end up in the image.
func Select(all []Source, suite, arch string) ([]Source, error) {
	wanted := []string{suite, suite + "-updates", suite + "-security", suite + "/updates"}
	var selected []Source
	var problems []error
	main := false
	for _, source := range all {
		var suites []string
		for _, name := range source.words("suites") {
			if slices.Contains(wanted, strings.TrimSuffix(name, "/")) {
				suites = append(suites, name)
				main = main || name == suite
			}
		}
		if len(suites) == 0 || !forArch(source, arch) {
			continue
		}
		problems = append(problems, refuse(source))
		source.Fields = map[string]string{
			"types": "deb", "suites": strings.Join(suites, " "), "uris": source.Fields["uris"],
			"components": source.Fields["components"], "signed-by": source.Fields["signed-by"],
		}
		selected = append(selected, source)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if !main {
		return nil, fmt.Errorf("no apt source of this host has the suite %s for %s", suite, arch)
	}
	return selected, nil
}

func forArch(source Source, arch string) bool {
	listed := source.words("architectures")
	return len(listed) == 0 || slices.Contains(listed, arch)
}

func refuse(source Source) error {
	for _, field := range []string{"trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"} {
		switch strings.ToLower(source.Fields[field]) {
		case "yes", "true", "with", "on", "enable", "1":
			return fmt.Errorf("%s:%d: the source says %s=%s: packages without a valid signature do not get into an image",
				source.File, source.Line, field, source.Fields[field])
		}
	}
	for _, text := range source.words("uris") {
		if address, err := url.Parse(text); err != nil || address.User != nil {
			return fmt.Errorf("%s:%d: the source has a password in its address, and the image would carry it\nmove it to /etc/apt/auth.conf.d, or set BOTTLE_BASE to another base", source.File, source.Line)
		}
	}
	return nil
}

// Render writes sources in the deb822 format.
func Render(sources []Source) []byte {
	var out strings.Builder
	for i, source := range sources {
		if i > 0 {
			out.WriteString("\n")
		}
		for _, field := range []struct{ key, name string }{
			{"types", "Types"}, {"uris", "URIs"}, {"suites", "Suites"}, {"components", "Components"}, {"signed-by", "Signed-By"},
		} {
			if value := source.Fields[field.key]; value != "" {
				fmt.Fprintf(&out, "%s:%s\n", field.name, spaced(value))
			}
		}
	}
	return []byte(out.String())
}

// spaced puts a space before a value unless it begins on the next line, as keys do.
func spaced(value string) string {
	if strings.HasPrefix(value, "\n") {
		return value
	}
	return " " + value
}
