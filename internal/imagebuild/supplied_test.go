package imagebuild_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/imagebuild"
)

const withSupplied = tiny + `[[supplied]]
name = "firewall"
to = "/usr/local/bin/firewall"
`

func suppliedFile(t *testing.T, text string) imagebuild.SuppliedFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "firewall")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	return imagebuild.SuppliedFile{Path: path, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
}

// A program that the operator has is a layer of its own; without it the image is as if
// the recipe did not name it.
func TestSupplied(t *testing.T) {
	t.Parallel()
	config := config(t)
	with := imagebuild.Selection{Platform: linux("amd64"), Supplied: map[string]imagebuild.SuppliedFile{"firewall": suppliedFile(t, "v1")}}
	without := imagebuild.Selection{Platform: linux("amd64")}
	plain, named, supplied := build(t, config, recipe(t, tiny), without), build(t, config, recipe(t, withSupplied), without), build(t, config, recipe(t, withSupplied), with)
	valid(t, supplied.image)
	if plain.digest != named.digest {
		t.Errorf("naming it changed the image: %s, %s", plain.digest, named.digest)
	}
	if plain.digest == supplied.digest {
		t.Error("supplying it changed nothing")
	}
}

func TestSuppliedThatChanges(t *testing.T) {
	t.Parallel()
	file := suppliedFile(t, "v1")
	if err := os.WriteFile(file.Path, []byte("v2"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := imagebuild.Selection{Platform: linux("amd64"), Supplied: map[string]imagebuild.SuppliedFile{"firewall": file}}
	job, err := imagebuild.New(config(t)).Plan(t.Context(), recipe(t, withSupplied), with)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := job.Build(t.Context()); err == nil || !strings.Contains(err.Error(), "has changed: its sha256 is not "+file.SHA256) {
		t.Errorf("Build = %v", err)
	}
}
