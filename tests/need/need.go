// Package need decides what the lack of a program, an engine or a VM means to a test: it is
// skipped, or it fails where BOTTLE_REQUIRE, a list with commas, names what is missing.
package need

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Required reports whether BOTTLE_REQUIRE names it.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BOTTLE_REQUIRE"), ","), what)
}

// Need skips or fails the test if there is an error.
func Need(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case Required(what):
		t.Fatalf("BOTTLE_REQUIRE names %s: %v", what, err)
	default:
		t.Skipf("%s: %v", what, err)
	}
}
