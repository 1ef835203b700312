package sbom_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"bottle.internal/internal/sbom"
	"bottle.internal/tests/fakeimage"
	"bottle.internal/tests/golden"
)

// file is one name in a layer of a test; a name that ends with / is a directory.
type file struct {
	name, content string
	mode          int64
}

func image(t *testing.T, layers ...[]file) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range layers {
		var entries []fakeimage.File
		for _, one := range files {
			header := tar.Header{Typeflag: tar.TypeReg, Name: one.name, Mode: max(one.mode, 0o644)}
			if strings.HasSuffix(one.name, "/") {
				header.Typeflag = tar.TypeDir
			}
			entries = append(entries, fakeimage.File{Header: header, Content: one.content})
		}
		if img, err = mutate.AppendLayers(img, fakeimage.Layer(t, entries...)); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

const status = `Package: adduser
Status: install ok installed
Maintainer: Debian Adduser Developers <adduser@example.test>
Architecture: all
Version: 3.134
Description: add and remove users
 Package: not-a-field
 Version: 9

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14+deb12u1)
Version: 12.2.0-14+deb12u1

Package: login
Status: install ok installed
Architecture: amd64
Source: shadow
Version: 1:4.13+dfsg1-1
`

const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: adduser

Files: *
Copyright: 1997 somebody
License: GPL-2+
 This is a text that says License: MIT

Files: debian/*
Copyright: 2001 somebody else
License: Expat or BSD-3-clause

License: GPL-2+
 The text.
`

func base() []file {
	return []file{
		{name: "usr/lib/os-release", content: "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_CODENAME=bookworm\n"},
		{name: "./var/lib/dpkg/status", content: status},
		{name: "usr/share/doc/adduser/copyright", content: copyright},
		{name: "usr/share/doc/login/copyright", content: "This is free software.\n"},
		{name: "usr/bin/script", content: "#!/bin/sh\n", mode: 0o755},
		{name: "usr/bin/odd", content: "ELF", mode: 0o755},
	}
}

func subject(t *testing.T, image v1.Image, pinned ...sbom.Component) sbom.Subject {
	t.Helper()
	component, err := sbom.Image("bottle-test", image, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return sbom.Subject{Component: component, Created: time.Unix(0, 0), Tool: "bottle-test"}
}

func write(t *testing.T, subject sbom.Subject) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := sbom.Write(&out, subject); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The whole document of a small image, to read.
func TestDocument(t *testing.T) {
	t.Parallel()
	img := image(t, base())
	pinned := sbom.NPM("@openai/codex", "0.1.0", "Apache-2.0", strings.Repeat("ab", 64))
	got := write(t, subject(t, img, pinned))
	if again := write(t, subject(t, image(t, base()), pinned)); !bytes.Equal(got, again) {
		t.Error("the same image gave two documents")
	}
	golden.Check(t, "testdata/small.spdx.json", got)
	check(t, got)
}

// Another image, another time and another name are other documents.
func TestNamespaceIsOfTheSubject(t *testing.T) {
	t.Parallel()
	one := subject(t, image(t, base()))
	spaces := map[string]bool{}
	for _, change := range []func(*sbom.Subject){
		func(*sbom.Subject) {},
		func(s *sbom.Subject) { s.Created = time.Unix(1, 0) },
		func(s *sbom.Subject) { s.SHA256 = strings.Repeat("0", 64) },
		func(s *sbom.Subject) { s.Name = "another" },
	} {
		other := one
		change(&other)
		spaces[check(t, write(t, other)).DocumentNamespace] = true
	}
	if len(spaces) != 4 {
		t.Errorf("four subjects have the namespaces %v", spaces)
	}
}

// hello is a Go program of a megabyte: the test's own would take the race detector half a
// minute to pack.
func hello(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A program that is there twice makes two programs, and one standard library.
func TestProgramsInAnImage(t *testing.T) {
	t.Parallel()
	content := hello(t)
	img := image(t, base(), []file{
		{name: "usr/local/bin/one", content: string(content), mode: 0o755},
		{name: "opt/two", content: string(content), mode: 0o755},
		{name: "opt/data", content: string(content)}, // nobody can run it
		{name: "opt/three", content: string(content), mode: 0o755},
	}, []file{{name: "opt/three", content: "#!/bin/sh\n", mode: 0o755}})
	count := map[string]int{}
	for _, one := range check(t, write(t, subject(t, img))).Packages {
		count[one.PackageName]++
	}
	for name, want := range map[string]int{"/usr/local/bin/one": 1, "/opt/two": 1, "stdlib": 1, "/opt/data": 0, "/opt/three": 0} {
		if count[name] != want {
			t.Errorf("%s is in the document %d times, want %d", name, count[name], want)
		}
	}
}

// A released bottle has programs inside itself; what is not in its bytes is not listed.
func TestCarried(t *testing.T) {
	t.Parallel()
	program := hello(t)
	zip := func(text []byte) []byte {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	guest, text := zip(program), zip([]byte("no program"))
	carrier := slices.Concat(program, guest, text)
	for _, test := range []struct {
		arch  string
		files fstest.MapFS
		want  string
	}{
		{"amd64", fstest.MapFS{"amd64/guest.gz": {Data: guest}, "arm64/other.gz": {Data: text}}, "guest"},
		{"arm64", fstest.MapFS{"amd64/guest.gz": {Data: guest}}, "there are no programs for arm64"},
		{"amd64", fstest.MapFS{"amd64/guest.gz": {Data: zip([]byte("another release"))}}, "amd64/guest.gz is not in it"},
		{"amd64", fstest.MapFS{"amd64/guest.gz": {Data: text}}, "amd64/guest.gz is not a Go program"},
	} {
		var got []string
		carried, err := sbom.Carried(test.files, test.arch, carrier)
		for _, one := range carried {
			got = append(got, one.Name)
		}
		if err != nil {
			got = append(got, err.Error())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q, want %s", got, test.want)
		}
	}
}

// Later layers replace and remove what earlier ones had.
func TestLayersOverLayers(t *testing.T) {
	t.Parallel()
	newer := strings.Replace(status, "Version: 3.134", "Version: 3.135", 1)
	for _, test := range []struct {
		name  string
		layer []file
		want  []string
	}{
		{"nothing", nil, []string{"adduser 3.134 MIT", "libgcc-s1", "login"}},
		{"another status", []file{{name: "var/lib/dpkg/status", content: newer}}, []string{"adduser 3.135 MIT", "libgcc-s1", "login"}},
		{"a removed status", []file{{name: "var/lib/dpkg/.wh.status"}}, nil},
		{"a removed directory", []file{{name: "var/lib/.wh.dpkg"}}, nil},
		{"an emptied directory", []file{{name: "var/lib/dpkg/.wh..wh..opq"}}, nil},
		{"a removed copyright", []file{{name: "usr/share/doc/.wh.adduser"}}, []string{"adduser 3.134", "libgcc-s1", "login"}},
	} {
		var got []string
		for _, part := range subject(t, image(t, base(), test.layer)).Parts {
			text := part.Name
			if part.Name == "adduser" {
				text += " " + part.Version
			}
			if strings.Contains(part.License, "MIT") {
				text += " MIT"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

var (
	idPattern        = regexp.MustCompile(`^Package-[a-zA-Z0-9.-]+$`)
	timePattern      = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	namespacePattern = regexp.MustCompile(`^https://bottle\.internal/spdx/[a-zA-Z0-9.-]+$`)
)

// check reads a document back with the library, and holds it against what SPDX 2.3 wants
// of it: the mandatory fields, their forms, and that every reference leads somewhere.
func check(t *testing.T, text []byte) *v2_3.Document {
	t.Helper()
	doc, err := json.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("the library cannot read the document: %v", err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Errorf("the library says: %v", err)
	}
	if doc.SPDXVersion != spdx.Version || doc.DataLicense != "CC0-1.0" || doc.SPDXIdentifier != "DOCUMENT" || doc.DocumentName == "" {
		t.Errorf("head: %s %s %s %q", doc.SPDXVersion, doc.DataLicense, doc.SPDXIdentifier, doc.DocumentName)
	}
	if !namespacePattern.MatchString(doc.DocumentNamespace) || !timePattern.MatchString(doc.CreationInfo.Created) || len(doc.CreationInfo.Creators) != 1 {
		t.Errorf("namespace %s, creation %+v", doc.DocumentNamespace, doc.CreationInfo)
	}
	reached := map[common.ElementID]bool{}
	for _, edge := range doc.Relationships {
		reached[edge.RefB.ElementRefID] = true
	}
	for _, one := range doc.Packages {
		checkPackage(t, one)
		if !reached[one.PackageSPDXIdentifier] {
			t.Errorf("%s is in no other thing", one.PackageName)
		}
	}
	if described, err := spdxlib.GetDescribedPackageIDs(doc); err != nil || len(described) != 1 {
		t.Errorf("the document describes %v, %v", described, err)
	}
	return doc
}

func checkPackage(t *testing.T, one *v2_3.Package) {
	t.Helper()
	if one.PackageName == "" || !idPattern.MatchString(string(one.PackageSPDXIdentifier)) || one.PackageDownloadLocation == "" || one.FilesAnalyzed {
		t.Errorf("package %+v", one)
	}
	for _, ref := range one.PackageExternalReferences {
		purl, err := packageurl.FromString(ref.Locator)
		if err != nil || ref.RefType != "purl" || ref.Category != "PACKAGE-MANAGER" {
			t.Errorf("%s: %+v, %v", one.PackageName, ref, err)
		} else if purl.ToString() != ref.Locator {
			t.Errorf("%s: %s is spelled %s", one.PackageName, ref.Locator, purl.ToString())
		}
	}
	for _, sum := range one.PackageChecksums {
		if want := map[common.ChecksumAlgorithm]int{common.SHA256: 64, common.SHA512: 128}[sum.Algorithm]; len(sum.Value) != want {
			t.Errorf("%s: checksum %+v", one.PackageName, sum)
		}
	}
}
