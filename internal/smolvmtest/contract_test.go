package smolvmtest_test

import (
	"os"
	"testing"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

func TestMain(m *testing.M) {
	smolvmtest.Main()
	os.Exit(m.Run())
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, version := range smolvmtest.Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			fake := smolvmtest.New(t, smolvmtest.Options{Version: version})
			smolvmtest.Contract(t, smolvmtest.ContractOptions{
				Client: fake.Client(), Artifact: fake.Artifact(smolvmtest.Manifest{}),
			})
		})
	}
	t.Run(smolvm.NameLite, func(t *testing.T) {
		t.Parallel()
		fake := smolvmtest.New(t, smolvmtest.Options{Name: smolvm.NameLite})
		smolvmtest.Contract(t, smolvmtest.ContractOptions{
			Client: fake.Client(), Artifact: fake.Artifact(smolvmtest.Manifest{}),
		})
	})
}
