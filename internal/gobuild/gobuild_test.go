package gobuild_test

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/gobuild"
)

const hello = "package main\n\nimport \"example.test/prog/greet\"\n\nfunc main() { println(greet.Text) }\n"

// module writes a tiny module with one program and one library.
func module(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module example.test/prog\n\ngo 1.26\n",
		"cmd/hello/m.go": hello,
		"greet/g.go":     "package greet\n\nvar Text = \"one\"\n",
	} {
		write(t, filepath.Join(root, name), text)
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func target() gobuild.Target {
	return gobuild.Target{Package: "./cmd/hello", Name: "hello", OS: "linux", Arch: "arm64"}
}

func build(t *testing.T, root, cache string, env ...string) gobuild.Program {
	t.Helper()
	builder := &gobuild.Builder{Root: root, CacheDir: cache, Env: append(os.Environ(), env...)}
	program, err := builder.Build(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestSameBytesInTwoDirectoriesAndEnvironments(t *testing.T) {
	t.Parallel()
	first := build(t, module(t), t.TempDir())
	second := build(t, module(t), t.TempDir(), "GOFLAGS=-race", "CGO_ENABLED=1", "GOARM64=v8.2", "CGO_CFLAGS=-g")
	if first.SHA256 != second.SHA256 {
		t.Errorf("digests differ: %s and %s", first.SHA256, second.SHA256)
	}
	file, err := elf.Open(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if file.Machine != elf.EM_AARCH64 || file.Section(".interp") != nil || file.Section(".symtab") != nil {
		t.Errorf("machine %v, sections %v: want a static, stripped arm64 program", file.Machine, file.Sections)
	}
}

func TestUnchangedSourceIsNotLinkedAgain(t *testing.T) {
	t.Parallel()
	root, cache := module(t), t.TempDir()
	first := build(t, root, cache)
	old := time.Unix(1000, 0)
	if err := os.Chtimes(first.Path, old, old); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	again := build(t, root, cache)
	t.Logf("a build without changes took %v", time.Since(start))
	info, err := os.Stat(again.Path)
	if err != nil || again != first || !info.ModTime().Equal(old) {
		t.Errorf("linked again: %+v, %v", again, err)
	}

	write(t, filepath.Join(root, "greet", "g.go"), "package greet\n\nvar Text = \"two\"\n")
	if changed := build(t, root, cache); changed.SHA256 == first.SHA256 {
		t.Error("a change in a library did not change the program")
	}
	write(t, filepath.Join(root, "greet", "g.go"), "package greet\n\nvar Text = \"one\"\n")
	if back := build(t, root, cache); back != first {
		t.Errorf("the old source gives %+v, want the old program %+v", back, first)
	}
}

func TestTruncatedProgramIsLinkedAgain(t *testing.T) {
	t.Parallel()
	root, cache := module(t), t.TempDir()
	first := build(t, root, cache)
	if err := os.Truncate(first.Path, 10); err != nil {
		t.Fatal(err)
	}
	again := build(t, root, cache)
	if info, err := os.Stat(again.Path); err != nil || again != first || info.Size() != first.Size {
		t.Errorf("got %+v, %v", again, err)
	}
}

func TestConcurrentBuildsAgree(t *testing.T) {
	t.Parallel()
	root, cache := module(t), t.TempDir()
	programs := make([]gobuild.Program, 4)
	var group sync.WaitGroup
	for i := range programs {
		group.Go(func() { programs[i] = build(t, root, cache) })
	}
	group.Wait()
	for _, program := range programs {
		if program != programs[0] || program.SHA256 == "" {
			t.Errorf("programs differ: %+v", programs)
		}
	}
	left, err := filepath.Glob(filepath.Join(cache, "programs", "*", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("in the cache: %v, want the program and its record", left)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	root := module(t)
	for _, test := range []struct{ name, pkg, want string }{
		{"a library", "./greet", "building ./greet for linux/arm64: package ./greet is not a program"},
		{"nothing there", "./none", "building ./none for linux/arm64: go: exit status 1: stat " + root + "/none: directory not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			builder := &gobuild.Builder{Root: root, CacheDir: t.TempDir(), Env: os.Environ()}
			_, err := builder.Build(t.Context(), gobuild.Target{Package: test.pkg, Name: "x", OS: "linux", Arch: "arm64"})
			if err == nil || err.Error() != test.want {
				t.Errorf("err = %v\nwant  %s", err, test.want)
			}
		})
	}
}

func TestFindRoot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "// ours\nmodule bottle.internal // home\n")
	write(t, filepath.Join(root, "tools", "go.mod"), "module example.test/tools\n")
	for _, start := range []string{root, filepath.Join(root, "tools"), filepath.Join(root, "not", "there")} {
		if got, err := gobuild.FindRoot(start); err != nil || got != root {
			t.Errorf("FindRoot(%s) = %s, %v", start, got, err)
		}
	}
	nowhere := t.TempDir()
	_, err := gobuild.FindRoot(nowhere)
	want := "the source of bottle was not found in " + nowhere + " or above it\nset BOTTLE_SOURCE to the directory that holds its go.mod"
	if !errors.Is(err, gobuild.ErrNoSource) || err.Error() != want {
		t.Errorf("err = %v\nwant  %s", err, want)
	}
}
