package filestamp_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/filestamp"
)

func open(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// The same size and the same mtime: the ctime tells.
func TestEveryChangeHasAnotherStamp(t *testing.T) {
	t.Parallel()
	file := open(t, "one")
	before, sum, err := filestamp.Sum(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256([]byte("one")); sum != hex.EncodeToString(want[:]) {
		t.Errorf("sum %s", sum)
	}
	if again, err := filestamp.OfFile(file); err != nil || again != before {
		t.Errorf("unchanged: %+v, %v, before %+v", again, err, before)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte("two"), 0)
	if err := errors.Join(err, os.Chtimes(file.Name(), info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if after, err := filestamp.OfFile(file); err != nil || after == before {
		t.Errorf("changed: %+v, %v", after, err)
	}
}

func TestWhatChangesWhileItIsReadHasNoSum(t *testing.T) {
	t.Parallel()
	file := open(t, "one")
	_, _, err := filestamp.Sum(t.Context(), file, func(int) {
		if _, err := file.WriteAt([]byte("two"), 0); err != nil {
			t.Error(err)
		}
	})
	if want := file.Name() + " changed while it was read"; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

// Two changes within one step of the clock have one stamp.
func TestSettled(t *testing.T) {
	t.Parallel()
	read := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]bool{
		-time.Hour: false, 0: false, filestamp.Step: false, filestamp.Step + 1: true, time.Hour: true,
	} {
		if got := (filestamp.Stamp{Ctime: read.Add(-age).UnixNano()}).Settled(read); got != want {
			t.Errorf("a file that changed %s before it was read: %t", age, got)
		}
	}
	file := open(t, "one")
	stamp, err := filestamp.Settle(t.Context(), file)
	if err != nil || !stamp.Settled(time.Now().Add(time.Millisecond)) {
		t.Errorf("after the wait: %+v, %v", stamp, err)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	file := open(t, "one")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, _, err := filestamp.Sum(ctx, file, nil); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("err = %v", err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := filestamp.OfFile(dir); err == nil || err.Error() != dir.Name()+" is not a regular file" {
		t.Errorf("a directory: %v", err)
	}
}
