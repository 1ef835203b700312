package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
)

func TestCleanKeepsDownloadsAndFollowsNoSymlink(t *testing.T) {
	a := newApp(t)
	precious := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := a.Clean(true); len(removed) > 0 || err != nil {
		t.Errorf("Clean() without a cache = %v, %v", removed, err)
	}
	for _, name := range []string{"packs", "layers", "npm"} {
		if err := os.MkdirAll(filepath.Join(a.dirs.cache, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(precious), filepath.Join(a.dirs.cache, "programs")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		all  bool
		want string
	}{{false, "packs layers programs"}, {false, ""}, {true, "npm"}} {
		removed, err := a.Clean(test.all)
		var names []string
		for _, path := range removed {
			names = append(names, filepath.Base(path))
		}
		if err != nil || strings.Join(names, " ") != test.want {
			t.Errorf("Clean(%v) = %v, %v; want %q", test.all, names, err, test.want)
		}
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a file outside was removed: %v", err)
	}
}

func TestValuesComeFromTheEnvironmentAndThePerson(t *testing.T) {
	a := newApp(t, "ORG=first", "ORG=last")
	a.config.Ask = func(_ context.Context, question string) (secret.Value, error) {
		if question != "database password" {
			return secret.Value{}, errors.New("another question")
		}
		return secret.New("hunter2"), nil
	}
	values, err := a.values(t.Context(), []plan.Env{
		{Name: "A", Source: "host", From: "ORG"}, {Name: "B", Source: "prompt", From: "database password"}, {Name: "C", Source: "literal", Value: "x"},
	})
	if err != nil || len(values) != 2 || values["A"].Reveal() != "last" || values["B"].Reveal() != "hunter2" {
		t.Errorf("values() = %v, %v", values, err)
	}
	if _, err := a.values(t.Context(), []plan.Env{{Name: "B", Source: "prompt", From: "x"}}); err == nil || err.Error() != "another question" {
		t.Errorf("err = %v", err)
	}
}

// A prompt of a cloned repository must not be a symlink to somebody's key.
func TestPromptStaysInsideItsRoot(t *testing.T) {
	a := newApp(t)
	repository := filepath.Join(a.dirs.home, "repository")
	if err := os.Mkdir(repository, 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(a.dirs.home, "key")
	for path, text := range map[string]string{key: "secret", filepath.Join(repository, "prompt.md"): "hello"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(key, filepath.Join(repository, "link.md")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		prompt  plan.Prompt
		want    string
		outside bool
	}{
		{plan.Prompt{Text: "inline"}, "inline", false},
		{plan.Prompt{}, "", false},
		{plan.Prompt{File: "~/key"}, "secret", false}, // the user's own manifest may
		{plan.Prompt{File: filepath.Join(repository, "prompt.md"), Root: repository}, "hello", false},
		{plan.Prompt{File: filepath.Join(repository, "link.md"), Root: repository}, "", true},
		{plan.Prompt{File: filepath.Join(repository, "..", "key"), Root: repository}, "", true},
	} {
		text, err := a.promptText(test.prompt)
		if string(text) != test.want || (err != nil) != test.outside {
			t.Errorf("promptText(%+v) = %q, %v", test.prompt, text, err)
		}
		if test.prompt.Root != "" {
			fact := a.fileFact(plan.FileRef{Path: test.prompt.File, Root: test.prompt.Root})
			if !fact.Exists || fact.Outside != test.outside {
				t.Errorf("fileFact(%s) = %+v", test.prompt.File, fact)
			}
		}
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, test := range []struct {
		problem Problem
		want    string
	}{
		{Problem{Text: "text"}, "text"},
		{Problem{Err: cause}, "cause"},
		{Problem{Text: "text", Err: cause}, "text: cause"},
	} {
		if got := test.problem.Error(); got != test.want || errors.Is(&test.problem, cause) != (test.problem.Err != nil) {
			t.Errorf("%+v: %q, want %q", test.problem, got, test.want)
		}
	}
}
