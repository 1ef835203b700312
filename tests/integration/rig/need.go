//go:build integration

package rig

import (
	"testing"

	"bottle.internal/tests/need"
)

// Required is [need.Required].
func Required(what string) bool {
	return need.Required(what)
}

// Need is [need.Need].
func Need(t *testing.T, what string, err error) {
	t.Helper()
	need.Need(t, what, err)
}
