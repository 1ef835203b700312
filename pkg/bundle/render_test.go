package bundle

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// What the engine is asked for, whole: every line of it is a rule that somebody relies on.
func TestRenderGolden(t *testing.T) {
	t.Parallel()
	spec := testSpec().withDefaults()
	for name, options := range map[string]any{
		"network.json": spec.networkOptions("RUN"),
		"bundle.json":  spec.bundleOptions("RUN", "net1"),
		"echo.json":    spec.echoOptions("RUN", "net1"),
	} {
		var got bytes.Buffer
		encoder := json.NewEncoder(&got)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(options); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
