package sbom

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
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

// Revision is what a Go program was built for, and the time of its commit, where the
// linker was told.
type Revision struct{ Arch, Time string }

// RevisionOf reads the revision of a Go program; it is empty for other bytes.
func RevisionOf(content []byte) Revision {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return Revision{}
	}
	return Revision{Arch: setting(info, "GOARCH", ""), Time: setting(info, "vcs.time", "")}
}

// Carried lists the programs that a program of a release has inside itself: ARCH/NAME.gz of
// fsys. Each must be in the bytes of the program, or the list would be of another release.
func Carried(fsys fs.FS, arch string, content []byte) ([]Component, error) {
	names, err := fs.Glob(fsys, arch+"/*.gz")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there are no programs for %s", arch)
	}
	var carried []Component
	for _, name := range names {
		packed, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(content, packed) {
			return nil, fmt.Errorf("%s is not in it", name)
		}
		plain, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text, err := io.ReadAll(plain)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		program, ok := Program(strings.TrimSuffix(path.Base(name), ".gz"), text)
		if !ok {
			return nil, fmt.Errorf("%s is not a Go program", name)
		}
		carried = append(carried, program)
	}
	return carried, nil
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
