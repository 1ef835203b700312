//go:build linux

package cli

import "testing"

func TestStartNeedsRoom(t *testing.T) {
	t.Parallel()
	if err := checkFree("/x", minFree); err != nil {
		t.Error(err)
	}
	if err := checkFree("/x", minFree-1); err == nil || err.Error() != "only 2047 MiB are free in /x, at least 2048 are needed" {
		t.Errorf("%v", err)
	}
}
