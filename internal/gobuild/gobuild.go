// Package gobuild builds our own static programs for the guest and the bundle.
//
// The same source gives the same bytes wherever the checkout is: no cgo, no paths, no
// version control stamp, no build id. Because the linker would work again on every
// call (a program without build id never looks up to date), a linked program is kept
// under a key that is made of the build ids of all its packages; `go list -export`
// compiles what changed and tells them. That answer is remembered by the stamps of the
// files that it depends on, since asking costs more than everything else here.
package gobuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/execx"
)

// ldflags leave out symbols, debug information and the build id.
const ldflags = "-s -w -buildid="

// Builder builds programs of the module at Root.
type Builder struct {
	Root     string   // the directory of go.mod; empty: programs come from Prebuilt
	Prebuilt fs.FS    // the programs that a release carries, NAME.gz; nil: none
	CacheDir string   // linked programs are kept in its programs/ and locks/
	Env      []string // the environment that go runs in; what makes builds differ is overridden
}

// Target is one program for one platform.
type Target struct {
	Package string // "./images/bundle", relative to Root
	Name    string // file name of the program
	OS      string // GOOS
	Arch    string // GOARCH
}

// Program is a linked program in the cache. It is never written again.
type Program struct {
	Path   string
	SHA256 string // hex
	Size   int64
}

// Build returns the program, linking it only if its source or the toolchain changed.
func (b *Builder) Build(ctx context.Context, target Target) (Program, error) {
	program, err := b.build(ctx, target)
	if err != nil {
		return Program{}, fmt.Errorf("building %s for %s/%s: %w", target.Package, target.OS, target.Arch, err)
	}
	return program, nil
}

func (b *Builder) build(ctx context.Context, target Target) (Program, error) {
	if b.Root == "" {
		return b.unpack(ctx, target)
	}
	tool, err := goTool()
	if err != nil {
		return Program{}, err
	}
	key, err := b.key(ctx, tool, target)
	if err != nil {
		return Program{}, err
	}
	path := filepath.Join(b.CacheDir, "programs", key, target.Name)
	if program, ok := cached(path); ok {
		return program, nil
	}
	unlock, err := diskcache.Lock(ctx, filepath.Join(b.CacheDir, "locks", "program-"+key))
	if err != nil {
		return Program{}, err
	}
	defer unlock()
	if program, ok := cached(path); ok {
		return program, nil
	}
	return b.link(ctx, tool, target, path)
}

// key names the program by the content of all packages in it.
func (b *Builder) key(ctx context.Context, tool string, target Target) (string, error) {
	if key, ok := b.knownKey(tool, target); ok {
		return key, nil
	}
	asked := time.Now()
	list, err := execx.Output(ctx, execx.Cmd{
		Path: tool, Dir: b.Root, Env: b.environ(target),
		Args: []string{"list", "-trimpath", "-buildvcs=false", "-deps", "-export", "-f", listFormat, target.Package},
	})
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n%s\n", ldflags, target.OS, target.Arch)
	var dirs []string
	var main, embeds bool
	for line := range strings.Lines(string(list)) {
		var pkg listed
		if err := json.Unmarshal([]byte(line), &pkg); err != nil {
			return "", fmt.Errorf("reading what go list says: %w", err)
		}
		fmt.Fprintf(hash, "%s %s %s\n", pkg.Path, pkg.Name, pkg.BuildID)
		main = pkg.Name == "main" // of the last one, which is the target
		if dir, err := filepath.Rel(b.Root, pkg.Dir); pkg.Ours && err == nil {
			dirs = append(dirs, dir)
			embeds = embeds || pkg.Embeds
		}
	}
	if !main {
		return "", fmt.Errorf("package %s is not a program", target.Package)
	}
	key := hex.EncodeToString(hash.Sum(nil))
	// Embedded files may lie below a package's directory, where no stamp looks.
	if !embeds {
		b.remember(tool, target, remembered{Key: key, Dirs: dirs}, asked)
	}
	return key, nil
}

// listFormat gives one JSON object a line; go list's own -json works out far more.
const listFormat = `{"path":{{printf "%q" .ImportPath}},"name":{{printf "%q" .Name}},"build_id":{{printf "%q" .BuildID}},` +
	`"dir":{{printf "%q" .Dir}},"ours":{{with .Module}}{{.Main}}{{else}}false{{end}},"embeds":{{if .EmbedPatterns}}true{{else}}false{{end}}}`

// listed is a line of listFormat.
type listed struct {
	Path    string `json:"path"`
	Name    string `json:"name"`
	BuildID string `json:"build_id"`
	Dir     string `json:"dir"`
	Ours    bool   `json:"ours"`
	Embeds  bool   `json:"embeds"`
}

func (b *Builder) link(ctx context.Context, tool string, target Target, path string) (Program, error) {
	if err := diskcache.Sweep(path); err != nil {
		return Program{}, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Program{}, diskcache.Explain(err)
	}
	scratch, err := os.MkdirTemp(dir, target.Name+".tmp-*")
	if err != nil {
		return Program{}, diskcache.Explain(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	output := filepath.Join(scratch, target.Name)
	err = execx.Run(ctx, execx.Cmd{
		Path: tool, Dir: b.Root, Env: b.environ(target),
		Args: []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", output, target.Package},
	})
	if err != nil {
		return Program{}, err
	}
	return adopt(output, path)
}

// adopt moves a linked program to its place and writes its digest beside it.
func adopt(output, path string) (Program, error) {
	file, err := os.Open(output)
	if err != nil {
		return Program{}, err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return Program{}, err
	}
	if err := file.Sync(); err != nil {
		return Program{}, diskcache.Explain(err)
	}
	program := Program{Path: path, SHA256: hex.EncodeToString(hash.Sum(nil)), Size: size}
	if err := os.Rename(output, path); err != nil {
		return Program{}, err
	}
	return program, diskcache.WriteFile(path+".json", func(w io.Writer) error {
		return json.NewEncoder(w).Encode(record{SHA256: program.SHA256, Size: size})
	})
}

type record struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// cached reads what was recorded, so that a warm build hashes no program. The record
// is written last: without it, or with another size, the program is linked again.
func cached(path string) (Program, bool) {
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		return Program{}, false
	}
	var known record
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&known); err != nil {
		return Program{}, false
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != known.Size {
		return Program{}, false
	}
	return Program{Path: path, SHA256: known.SHA256, Size: known.Size}, true
}

// environ overrides everything in the user's environment that changes the bytes.
func (b *Builder) environ(target Target) []string {
	fixed := []string{
		"CGO_ENABLED=0", "GOOS=" + target.OS, "GOARCH=" + target.Arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GODEBUG=",
	}
	var env []string
	for _, line := range b.Env {
		name, _, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "CGO_") && !overridden(fixed, name) {
			env = append(env, line)
		}
	}
	return append(env, fixed...)
}

func overridden(fixed []string, name string) bool {
	for _, line := range fixed {
		if strings.HasPrefix(line, name+"=") {
			return true
		}
	}
	return false
}

// goTool finds go on PATH, or where it was when we were built: `sudo` and service
// managers tend to shorten PATH.
func goTool() (string, error) {
	path, err := execx.Find("go")
	if err == nil {
		return path, nil
	}
	//nolint:staticcheck // SA1019: the recommended replacement asks `go env`, which is what is missing
	if beside := filepath.Join(runtime.GOROOT(), "bin", "go"); isFile(beside) {
		return beside, nil
	}
	return "", fmt.Errorf("finding go: %w\ninstall Go, or add its bin directory to PATH", err)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
