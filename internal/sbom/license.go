package sbom

import (
	"slices"
	"strings"
)

// spdxLicense is the SPDX name of a license, or empty if we are not sure of one. Debian
// has short names of its own, in which the same word with a + means "or later".
func spdxLicense(name string) string {
	known := map[string]string{
		"expat": "MIT", "mit": "MIT", "isc": "ISC", "zlib": "Zlib", "curl": "curl", "unlicense": "Unlicense",
		"0bsd": "0BSD", "bsl-1.0": "BSL-1.0", "bsl-1": "BSL-1.0", "openssl": "OpenSSL", "mpl-2.0": "MPL-2.0", "mpl-2": "MPL-2.0",
		"bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
		"bsd-4-clause-uc": "BSD-4-Clause-UC", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl",
		"cc0-1.0": "CC0-1.0", "cc0": "CC0-1.0", "x11": "X11", "python-2.0": "Python-2.0",
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if spdx, ok := known[name]; ok {
		return spdx
	}
	for _, family := range []struct{ debian, spdx string }{{"lgpl-", "LGPL-"}, {"gpl-", "GPL-"}, {"gfdl-", "GFDL-"}} {
		version, ok := strings.CutPrefix(name, family.debian)
		if !ok {
			continue
		}
		suffix := "-only"
		if later, ok := strings.CutSuffix(version, "+"); ok {
			version, suffix = later, "-or-later"
		}
		for _, spelled := range []string{"-only", "-or-later"} {
			if rest, ok := strings.CutSuffix(version, spelled); ok {
				version, suffix = rest, spelled
			}
		}
		if !strings.Contains(version, ".") {
			version += ".0"
		}
		if slices.Contains(versionsOf(family.spdx), version) {
			return family.spdx + version + suffix
		}
	}
	return ""
}

func versionsOf(family string) []string {
	switch family {
	case "GPL-":
		return []string{"1.0", "2.0", "3.0"}
	case "LGPL-":
		return []string{"2.0", "2.1", "3.0"}
	default:
		return []string{"1.1", "1.2", "1.3"}
	}
}

// spdxExpression translates "GPL-2+ or BSD-3-clause"; empty if any word is not known.
func spdxExpression(text string) string {
	var all []string
	for both := range strings.SplitSeq(strings.ReplaceAll(text, ", and ", " and "), " and ") {
		var either []string
		for one := range strings.SplitSeq(both, " or ") {
			name := spdxLicense(one)
			if name == "" {
				return ""
			}
			either = append(either, name)
		}
		slices.Sort(either)
		either = slices.Compact(either)
		term := strings.Join(either, " OR ")
		if len(either) > 1 {
			term = "(" + term + ")"
		}
		all = append(all, term)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " AND ")
}

// copyrightLicense is what a debian/copyright of the machine readable kind declares for
// all files together; empty if it is of another kind, or names what we do not know.
func copyrightLicense(text string) string {
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	if !strings.HasPrefix(first, "Format:") || !strings.Contains(first, "copyright-format/1.0") {
		return ""
	}
	var terms []string
	for _, paragraph := range paragraphs(text) {
		if paragraph["Files"] == "" {
			continue
		}
		term := spdxExpression(paragraph["License"])
		if term == "" {
			return ""
		}
		terms = append(terms, strings.Split(term, " AND ")...)
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	if len(terms) == 1 {
		return strings.Trim(terms[0], "()")
	}
	return strings.Join(terms, " AND ")
}

// paragraphs reads Debian's control format: the first line of each field.
func paragraphs(text string) []map[string]string {
	var all []map[string]string
	fields := map[string]string{}
	for line := range strings.SplitSeq(text+"\n\n", "\n") {
		if strings.TrimSpace(line) == "" {
			if len(fields) > 0 {
				all, fields = append(all, fields), map[string]string{}
			}
			continue
		}
		// What begins with a space continues a field, and may say anything.
		if key, value, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return all
}
