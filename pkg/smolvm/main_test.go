package smolvm_test

import (
	"os"
	"testing"

	"bottle.internal/internal/smolvmtest"
)

func TestMain(m *testing.M) {
	smolvmtest.Main()
	os.Exit(m.Run())
}
