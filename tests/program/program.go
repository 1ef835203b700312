// Package program puts programs on the disk that tests run.
package program

import (
	"os"
	"syscall"
	"testing"
)

// Write makes an executable file. Nothing is forked by this process meanwhile: a child has the
// open file until its exec, and the kernel runs none that somebody may still write to ("text
// file busy"), which a parallel test would see now and then.
func Write[T ~string | ~[]byte](t testing.TB, path string, content T) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
