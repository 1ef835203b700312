package debian_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/internal/imagebuild/debian"
)

const stanzas = `# a comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.test/
Suites: bookworm
Enabled: no
`

func TestSelect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, list, sources, want, err string }{
		{name: "deb822", sources: stanzas, want: `Types: deb
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
`},
		{
			name: "one line each",
			list: "deb [arch=amd64,arm64 signed-by=/k.gpg] https://mirror.test/debian bookworm main # the main one\n#deb http://x.test bookworm main\ndeb-src http://x.test bookworm main\n" +
				"deb [arch=i386] http://i386.test bookworm main\ndeb [ trusted=yes ] http://tools.test stable main",
			want: "Types: deb\nURIs: https://mirror.test/debian\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n",
		},
		{name: "none", list: "deb http://mirror.test/debian trixie main", err: "no apt source of this host has the suite bookworm for amd64"},
		{name: "only updates", list: "deb http://mirror.test/debian bookworm-updates main", err: "no apt source of this host has the suite bookworm for amd64"},
		{
			name: "unsigned", list: "deb [trusted=yes] http://evil.test bookworm main\ndeb [allow-insecure=yes] http://evil.test bookworm-updates main",
			sources: "Types: deb\nURIs: http://evil.test\nSuites: bookworm-security\nTrusted: YES\n",
			err: `/etc/apt/sources.list:1: the source says trusted=yes: packages without a valid signature do not get into an image
/etc/apt/sources.list:2: the source says allow-insecure=yes: packages without a valid signature do not get into an image
/etc/apt/sources.list.d/x.sources:1: the source says trusted=YES: packages without a valid signature do not get into an image`,
		},
		{name: "explicitly signed", list: "deb [trusted=no] http://mirror.test bookworm main", want: "Types: deb\nURIs: http://mirror.test\nSuites: bookworm\nComponents: main\n"},
		{
			name: "password", list: "deb https://me:hunter2@mirror.test bookworm main",
			err: "/etc/apt/sources.list:1: the source has a password in its address, and the image would carry it\nmove it to /etc/apt/auth.conf.d, or set BOTTLE_BASE to another base",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all, err := debian.ReadSources(fstest.MapFS{
				"sources.list": {Data: []byte(test.list)}, "sources.list.d/x.sources": {Data: []byte(test.sources)}, "sources.list.d/x.save": {Data: []byte("deb http://x bookworm main")},
			})
			if err != nil {
				t.Fatal(err)
			}
			selected, err := debian.Select(all, "bookworm", "amd64")
			if got := string(debian.Render(selected)); got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("got:\n%s%v\nwant:\n%s%s", got, err, test.want, test.err)
			}
		})
	}
}

func FuzzReadSources(f *testing.F) {
	f.Add("deb [arch=amd64 trusted=yes] http://x.test bookworm main", stanzas)
	f.Add("deb [", ":\n a\n\n b: c")
	f.Fuzz(func(t *testing.T, list, sources string) {
		all, err := debian.ReadSources(fstest.MapFS{"sources.list": {Data: []byte(list)}, "sources.list.d/x.sources": {Data: []byte(sources)}})
		if err != nil {
			t.Fatal(err)
		}
		selected, err := debian.Select(all, "bookworm", "amd64")
		if err == nil && strings.Contains(string(debian.Render(selected)), "rusted") && !strings.Contains(list+sources, "rusted") {
			t.Error("a field out of nowhere")
		}
	})
}
