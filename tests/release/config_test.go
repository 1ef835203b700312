package release

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var address = regexp.MustCompile(`https?://([^/"\s]+)|@([\w-]+\.[\w.-]+)`)

// A release of ours goes nowhere by itself: no key of the configuration publishes.
func TestReleaseIsNotPublished(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	local := []string{
		"version", "project_name", "before", "builds", "archives", "nfpms", "homebrew_casks", "sboms", "checksum", "snapshot", "changelog", "release",
	}
	for key := range config {
		if !slices.Contains(local, key) {
			t.Errorf("%s is configured: if it publishes nothing, add it to this test", key)
		}
	}
	if release, ok := config["release"].(map[string]any); !ok || release["disable"] != true {
		t.Error("release is not disabled")
	}
	casks, _ := config["homebrew_casks"].([]any)
	for _, cask := range casks {
		if cask, ok := cask.(map[string]any); !ok || cask["skip_upload"] != true {
			t.Error("the cask would be uploaded")
		}
	}
	for _, found := range address.FindAllStringSubmatch(string(text), -1) {
		if host := found[1] + found[2]; host != "example.com" && !strings.HasSuffix(host, ".example.com") {
			t.Errorf("the configuration names the host %s", host)
		}
	}
}
