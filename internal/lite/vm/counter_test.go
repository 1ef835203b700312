package vm

import (
	"runtime"
	"testing"
)

// However busy this machine is, two measurements of one counter agree.
func TestCounter(t *testing.T) {
	t.Parallel()
	first, second := ReadCounter().KHz(t.Context()), ReadCounter().KHz(t.Context())
	if runtime.GOARCH != "amd64" {
		if first != 0 {
			t.Errorf("%d kHz", first)
		}
		return
	}
	if first < 500_000 || first > 10_000_000 || second < first-first/200 || second > first+first/200 {
		t.Errorf("%d kHz, then %d", first, second)
	}
}
