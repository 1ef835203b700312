//go:build integration

package smolvmtest_test

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

// TestContractOfTool runs the contract against the program that $BOTTLE_SMOLVM names,
// with a machine booted from $BOTTLE_SMOLVM_ARTIFACT.
func TestContractOfTool(t *testing.T) {
	path, artifact := os.Getenv("BOTTLE_SMOLVM"), os.Getenv("BOTTLE_SMOLVM_ARTIFACT")
	if path == "" || artifact == "" {
		const why = "BOTTLE_SMOLVM and BOTTLE_SMOLVM_ARTIFACT must name a VM tool and a .smolmachine to boot"
		if strings.Contains(os.Getenv("BOTTLE_REQUIRE"), "vm") {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	env := smolvm.Environ(os.Environ(), nil)
	tool, err := smolvm.Detect(t.Context(), path, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s at %s", tool.Name, tool.Version, tool.Path)
	smolvmtest.Contract(t, smolvmtest.ContractOptions{
		Client:   smolvm.New(smolvm.Config{Tool: tool, Env: env}),
		Artifact: artifact,
		Name:     "contract-" + strings.ToLower(rand.Text()[:8]),
	})
}
