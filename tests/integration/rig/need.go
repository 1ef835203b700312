//go:build integration

package rig

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Required reports whether BOTTLE_REQUIRE, a list with commas, makes the lack of something
// a failure.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BOTTLE_REQUIRE"), ","), what)
}

// Need skips a test without something, or fails it where that is required.
func Need(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case Required(what):
		t.Fatalf("%s: %v", what, err)
	default:
		t.Skipf("%s: %v", what, err)
	}
}
