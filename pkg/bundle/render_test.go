package bundle

import (
	"bytes"
	"encoding/json"
	"testing"

	"bottle.internal/tests/golden"
)

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
		golden.Check(t, "testdata/"+name, got.Bytes())
	}
}
