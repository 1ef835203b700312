//go:build integration

package integration

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What the SBOM of the bundle's image says is what dpkg says in a container of it, package
// by package, and the program that it names is the one that is there.
func TestSBOMIsTrue(t *testing.T) {
	w := setup(t)
	images, _ := w.images(t)
	var doc struct {
		Packages []struct {
			Name      string `json:"name"`
			Version   string `json:"versionInfo"`
			Checksums []struct {
				Value string `json:"checksumValue"`
			} `json:"checksums"`
			Refs []struct {
				Locator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
	}
	if err := json.Unmarshal([]byte(w.good(t, "sbom", "--bundle").Stdout), &doc); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, one := range doc.Packages {
		if len(one.Refs) == 1 && strings.HasPrefix(one.Refs[0].Locator, "pkg:deb/") {
			_, arch, _ := strings.Cut(one.Refs[0].Locator, "arch=")
			arch, _, _ = strings.Cut(arch, "&")
			said = append(said, one.Name+" "+one.Version+" "+arch)
		}
		if one.Name == "/usr/local/bin/bundle" {
			said = append(said, one.Checksums[0].Value+"  "+one.Name)
		}
	}
	const script = `dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' && sha256sum /usr/local/bin/bundle`
	out, err := exec.CommandContext(t.Context(), "docker", "run", "--rm", "--network=none", "--entrypoint=/bin/sh",
		images["bundle"].Digest, "-c", script).Output()
	if err != nil {
		t.Fatalf("asking dpkg in a container: %v", err)
	}
	there := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(said)
	slices.Sort(there)
	if len(there) < 50 || !slices.Equal(said, there) {
		t.Errorf("the SBOM has %d lines, the image %d:\n%s\n\n%s", len(said), len(there), strings.Join(said, "\n"), strings.Join(there, "\n"))
	}
}
