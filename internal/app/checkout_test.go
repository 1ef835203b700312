package app

import (
	"path/filepath"
	"testing"

	"bottle.internal/internal/gobuild"
)

// mage builds from this repository and reads its manifest, unless another one is named.
func TestFromCheckout(t *testing.T) {
	root, err := gobuild.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BOTTLE_MANIFEST", "")
	if c := FromCheckout(); c.Source != root || c.Manifest != filepath.Join(root, "bottle.toml") {
		t.Errorf("FromCheckout() has the source %q and the manifest %q", c.Source, c.Manifest)
	}
	t.Setenv("BOTTLE_MANIFEST", "/elsewhere/bottle.toml")
	if c := FromCheckout(); c.Manifest != "" {
		t.Errorf("FromCheckout() goes before BOTTLE_MANIFEST: %q", c.Manifest)
	}
}
