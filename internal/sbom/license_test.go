package sbom

import "testing"

func TestExpression(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Expat":                         "MIT",
		"MIT":                           "MIT",
		"GPL-2":                         "GPL-2.0-only",
		"GPL-2+":                        "GPL-2.0-or-later",
		"GPL-3.0+":                      "GPL-3.0-or-later",
		"LGPL-2.1":                      "LGPL-2.1-only",
		"GPL-2.0-or-later":              "GPL-2.0-or-later",
		"Apache-2.0":                    "Apache-2.0",
		"Artistic or GPL-1+":            "(Artistic-1.0-Perl OR GPL-1.0-or-later)",
		"ISC and Expat":                 "ISC AND MIT",
		"Expat and MIT":                 "MIT",
		"Expat or ISC, and Zlib":        "(ISC OR MIT) AND Zlib",
		"GPL-2+ with OpenSSL exception": "", // an exception that we cannot name
		"public-domain":                 "",
		"GPL-4":                         "",
		"GPL":                           "",
		"GPL-2+ or MyOwn":               "",
		"SEE LICENSE IN LICENSE.md":     "",
		"":                              "",
	} {
		if got := spdxExpression(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestCopyright(t *testing.T) {
	t.Parallel()
	const head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
	for text, want := range map[string]string{
		head + "Files: *\nLicense: GPL-2+\n":                             "GPL-2.0-or-later",
		head + "Files: *\nLicense: Expat or GPL-2\n":                     "GPL-2.0-only OR MIT",
		head + "Files: *\nLicense: Expat\n\nFiles: a\nLicense: ISC\n":    "ISC AND MIT",
		head + "Files: *\nLicense: Expat\n\nFiles: a\nLicense: my-own\n": "",    // part of the truth would be a lie
		head + "Files: *\nLicense: Expat\n\nLicense: my-own\n text\n":    "MIT", // a text that no file has
		head + "Files: *\nCopyright: me\n":                               "",
		"Files: *\nLicense: Expat\n":                                     "", // of no known format
		"":                                                               "",
	} {
		if got := copyrightLicense(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
