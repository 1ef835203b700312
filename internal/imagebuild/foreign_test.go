package imagebuild_test

import (
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/imagebuild"
)

// What others made is what was selected, with the digests that pin it.
func TestForeign(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	text := withSupplied + "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64") +
		"[[npm]]\ntool = \"codex\"\n" + registry.publish(t, "codex", "amd64")
	settings := config(t)
	registry.use(&settings)
	file := suppliedFile(t, "v1")
	foreign := func(selection imagebuild.Selection) []imagebuild.Foreign {
		selection.Platform = linux("amd64")
		job, err := imagebuild.New(settings).Plan(t.Context(), recipe(t, text), selection)
		if err != nil {
			t.Fatal(err)
		}
		got, err := job.Foreign(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := foreign(imagebuild.Selection{}); len(got) != 0 {
		t.Errorf("nothing was selected: %+v", got)
	}
	got := foreign(imagebuild.Selection{Tools: []string{"codex"}, Supplied: map[string]imagebuild.SuppliedFile{"firewall": file}})
	if len(got) != 2 || len(got[0].SHA512) != 128 || strings.Trim(got[0].SHA512, "0123456789abcdef") != "" {
		t.Fatalf("foreign: %+v", got)
	}
	want := []imagebuild.Foreign{{Name: "codex-amd64", Version: "1.0.0", SHA512: got[0].SHA512}, {Name: "firewall", SHA256: file.SHA256}}
	if !slices.Equal(got, want) {
		t.Errorf("foreign: %+v, want %+v", got, want)
	}
}
