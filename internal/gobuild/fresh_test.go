package gobuild_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"bottle.internal/internal/gobuild"
)

// goCounter is a go tool that writes down each call, in front of the real one.
func goCounter(t *testing.T) (path string, calls func() int) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\necho x >>" + log + "\nPATH=${PATH#*:} exec go \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, func() int {
		text, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(text) / 2
	}
}

// age makes everything old enough for stamps to be trusted: ctime cannot be set back.
func age(t *testing.T) {
	t.Helper()
	time.Sleep(120 * time.Millisecond)
}

// What go said is asked for once, until a file that matters changes. This test cannot
// run beside others: it changes PATH.
func TestGoIsNotAskedTwice(t *testing.T) {
	dir, calls := goCounter(t)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	root, cache := module(t), t.TempDir()
	age(t)
	first := build(t, root, cache)
	asked := calls()
	if again := build(t, root, cache); again != first || calls() != asked {
		t.Errorf("unchanged: go was asked %d times more, %+v then %+v", calls()-asked, first, again)
	}
	for _, change := range []struct {
		name string
		do   func()
		same bool // the program stays as it was
	}{
		{name: "an edited file", do: func() { write(t, filepath.Join(root, "greet/g.go"), "package greet\n\nvar Text = \"two\"\n") }},
		{name: "an added file", do: func() {
			write(t, filepath.Join(root, "greet/h.go"), "package greet\n\nfunc init() { Text += \"!\" }\n")
		}},
		{name: "a removed file", do: func() { _ = os.Remove(filepath.Join(root, "greet/h.go")) }},
		{name: "go.mod", same: true, do: func() { write(t, filepath.Join(root, "go.mod"), "module example.test/prog\n\ngo 1.26.0\n") }},
		{name: "an edit that sets the time back", do: func() {
			path := filepath.Join(root, "greet/g.go")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, "package greet\n\nvar Text = \"six\"\n")
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		before, asked := build(t, root, cache), calls()
		age(t)
		change.do()
		age(t)
		after := build(t, root, cache)
		if calls() == asked {
			t.Errorf("%s: go was not asked", change.name)
		}
		if (after.SHA256 == before.SHA256) != change.same {
			t.Errorf("%s: the program changed: %v", change.name, after.SHA256 != before.SHA256)
		}
	}
}

// An edit just before go is asked could happen while it reads: that answer is not kept.
func TestAFreshEditIsNotRemembered(t *testing.T) {
	dir, calls := goCounter(t)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	root, cache := module(t), t.TempDir()
	builder := &gobuild.Builder{Root: root, CacheDir: cache, Env: os.Environ()}
	for range 2 {
		before := calls()
		write(t, filepath.Join(root, "greet/g.go"), "package greet\n\nvar Text = \"one\"\n")
		if _, err := builder.Build(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
		if calls() == before {
			t.Error("go was not asked after a fresh edit")
		}
	}
}
