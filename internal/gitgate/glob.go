package gitgate

import "strings"

// matchGlob matches a slash-separated name as a whole. In a pattern `*` stands for any run
// of characters within one component, and a component `**` for any number of components.
func matchGlob(pattern, name string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for skip := range len(name) + 1 {
				if matchParts(pattern[1:], name[skip:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 || !matchPart(pattern[0], name[0]) {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// matchPart matches one component, greedily from the left: with one kind of wildcard the
// first place where a piece fits is as good as any.
func matchPart(pattern, name string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == name
	}
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		at := strings.Index(name, piece)
		if at < 0 {
			return false
		}
		name = name[at+len(piece):]
	}
	return true
}

// protector knows the paths whose change needs a human.
type protector struct{ patterns []string }

func newProtector(patterns []string) protector {
	folded := make([]string, 0, len(patterns))
	for _, pattern := range patterns {
		pattern = fold(pattern)
		// A file name alone is protected in every directory: CI systems can be told to
		// look anywhere.
		if !strings.Contains(pattern, "/") {
			pattern = "**/" + pattern
		}
		folded = append(folded, pattern)
	}
	return protector{folded}
}

// fold makes names equal that a case-insensitive system takes for the same, such as
// those with the long s or the Kelvin sign.
func fold(text string) string { return strings.ToLower(strings.ToUpper(text)) }

// matches reports whether a changed entry is protected: it or a directory above it matches,
// or it is a link in place of a directory that a pattern leads through.
func (p protector) matches(path string, isLink bool) bool {
	parts := strings.Split(fold(path), "/")
	for _, pattern := range p.patterns {
		want := strings.Split(pattern, "/")
		for n := 1; n <= len(parts); n++ {
			if matchParts(want, parts[:n]) {
				return true
			}
		}
		if isLink && want[0] != "**" && leadsThrough(want, parts) {
			return true
		}
	}
	return false
}

// leadsThrough reports whether parts could be a directory above a match.
func leadsThrough(pattern, parts []string) bool {
	for n := 1; n < len(pattern); n++ {
		if matchParts(pattern[:n], parts) {
			return true
		}
	}
	return false
}
