package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"runtime/debug"
	"strings"

	"github.com/package-url/packageurl-go"
)

// Program is the component of a Go program: every module that was linked into it, and
// the standard library. It is false if the bytes are no Go program.
func Program(name string, content []byte) (Component, bool) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return Component{}, false
	}
	program := programOf(name, info)
	sum := sha256.Sum256(content)
	program.SHA256 = hex.EncodeToString(sum[:])
	return program, true
}

func programOf(name string, info *debug.BuildInfo) Component {
	program := Component{
		Name: name, Version: info.Main.Version, Purpose: Application,
		Source: "Go program of the package " + info.Path + ", built by " + info.GoVersion + " for " +
			setting(info, "GOOS", "?") + "/" + setting(info, "GOARCH", "?"),
		PURL: goPURL(info.Main.Path, strings.Trim(info.Main.Version, "()"), strings.TrimPrefix(strings.TrimPrefix(info.Path, info.Main.Path), "/")),
	}
	if info.Main.Path == ourModule {
		program.License = "Apache-2.0"
	}
	compiler := strings.TrimPrefix(info.GoVersion, "go")
	program.Parts = append(program.Parts, Component{
		Name: "stdlib", Version: compiler, Purpose: Library, License: "BSD-3-Clause", PURL: goPURL("stdlib", compiler, ""),
		Source: "the standard library of Go",
	})
	for _, module := range info.Deps {
		program.Parts = append(program.Parts, goModule(module))
	}
	return program
}

const ourModule = "bottle.internal"

// Revision is the commit and its time that a Go program was built from, where the linker
// was told.
func Revision(content []byte) (revision, time string) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return "", ""
	}
	return setting(info, "vcs.revision", ""), setting(info, "vcs.time", "")
}

func goModule(module *debug.Module) Component {
	source := "Go module"
	if module.Replace != nil {
		source += " in place of " + module.Path + " " + module.Version
		module = module.Replace
	}
	if module.Sum != "" { // a hash of Go's own kind, which SPDX has no name for
		source += ", " + module.Sum
	}
	return Component{
		Name: module.Path, Version: module.Version, Purpose: Library, Source: source, PURL: goPURL(module.Path, module.Version, ""),
	}
}

func goPURL(module, version, subpath string) string {
	at := strings.LastIndex(module, "/")
	namespace := ""
	if at >= 0 {
		namespace = module[:at]
	}
	return packageurl.NewPackageURL(packageurl.TypeGolang, namespace, module[at+1:], version, nil, subpath).ToString()
}

func setting(info *debug.BuildInfo, key, otherwise string) string {
	for _, one := range info.Settings {
		if one.Key == key {
			return one.Value
		}
	}
	return otherwise
}
