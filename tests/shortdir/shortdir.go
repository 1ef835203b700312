// Package shortdir has the directories of tests that put sockets into them.
package shortdir

import (
	"os"
	"testing"
)

// New is a directory that goes with the test. [testing.TB.TempDir] has the test's name in its
// path, and may so leave no room for a socket's: that ends at 104 bytes.
func New(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
