package app

import (
	"fmt"
	"testing"

	"bottle.internal/internal/digest"
)

func TestChangedTools(t *testing.T) {
	t.Parallel()
	now := []digest.Sum{{Name: "same", SHA256: "aa"}, {Name: "other", SHA256: "bb"}, {Name: "new", SHA256: "cc"}, {Name: "gone", Problem: "no such file"}}
	started := map[string]string{"same": "aa", "other": "aa", "gone": "aa"}
	if got := fmt.Sprint(changedTools(started, now)); got != "[other gone]" {
		t.Error(got)
	}
	if got := changedTools(nil, now); got != nil {
		t.Errorf("a bottle of an older version: %v", got)
	}
}
