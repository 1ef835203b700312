package sbom

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"
)

const (
	statusPath = "var/lib/dpkg/status"
	osRelease  = "usr/lib/os-release"
	docDir     = "usr/share/doc/"
)

// debianPackages lists what dpkg has installed, by its own records.
func debianPackages(files map[string][]byte) []Component {
	distro := release(string(files[osRelease]))
	var all []Component
	for _, fields := range paragraphs(string(files[statusPath])) {
		if !strings.HasSuffix(fields["Status"], " installed") {
			continue
		}
		name, version := fields["Package"], fields["Version"]
		source := cmp.Or(fields["Source"], name)
		if !strings.Contains(source, "(") { // else it names its version, which is another
			source += " (" + version + ")"
		}
		qualifiers := packageurl.QualifiersFromMap(map[string]string{"arch": fields["Architecture"], "distro": distro["VERSION_CODENAME"]})
		all = append(all, Component{
			Name: name, Version: version, Purpose: Library, Supplier: distro["NAME"],
			PURL:    packageurl.NewPackageURL(packageurl.TypeDebian, cmp.Or(distro["ID"], "debian"), name, version, qualifiers, "").ToString(),
			Source:  "dpkg, architecture " + fields["Architecture"] + ", built from the source package " + source,
			License: copyrightLicense(string(files[path.Join(docDir, name, "copyright")])),
		})
	}
	return all
}

// release reads an os-release file.
func release(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	return fields
}

// isRecord reports whether a file of a layer is one that packages are known by.
func isRecord(name string) bool {
	if slices.Contains([]string{statusPath, osRelease}, name) {
		return true
	}
	rest, ok := strings.CutPrefix(name, docDir)
	return ok && path.Base(rest) == "copyright" && strings.Count(rest, "/") == 1
}
