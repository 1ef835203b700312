//go:build integration

package integration

import (
	"testing"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

// The VM tool at hand (the stand-in, or what BOTTLE_SMOLVM names) keeps the contract that
// the fake of the unit tests keeps.
func TestContract(t *testing.T) {
	w := setup(t)
	env := smolvm.Environ(w.VMEnv, nil)
	tool, err := smolvm.Detect(t.Context(), w.VMTool, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s at %s", tool.Name, tool.Version, tool.Path)
	packed, _ := w.images(t)
	smolvmtest.Contract(t, smolvmtest.ContractOptions{
		Client:   smolvm.New(smolvm.Config{Tool: tool, Env: env}),
		Artifact: packed["agent"].Path,
		Name:     prefix + "contract",
	})
}
