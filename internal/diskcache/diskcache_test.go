package diskcache_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"bottle.internal/internal/diskcache"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

func TestWriteFileIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "entry")
	write := func(text string, failure error) error {
		return diskcache.WriteFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, failure)
		})
	}
	if err := write("half", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("err = %v", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("a failed write left %s", got)
	}
	if err := write("whole", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("other half", io.ErrUnexpectedEOF); err == nil {
		t.Error("no error")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "whole" || names(t, dir) != "entry" {
		t.Errorf("the old entry is %q, %v beside %s", text, err, names(t, dir))
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := diskcache.WriteFile(filepath.Join(dir, "entry"), func(io.Writer) error {
		return &os.PathError{Op: "write", Path: "entry", Err: syscall.ENOSPC}
	})
	want := "write entry: no space left on device\n" +
		"free some space on the disk that holds the cache, or point XDG_CACHE_HOME at another one"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v\nwant  %s", err, want)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("left on the full disk: %s", got)
	}
}

func TestSweepRemovesOnlyTheRemainsOfItsKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.tmp-1", "a.tmp-2", "a", "ab.tmp-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := diskcache.Sweep(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "a ab.tmp-1" {
		t.Errorf("left: %s", got)
	}
}

func TestLockExcludes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "locks", "key")
	inside, most := 0, 0
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inside += by
		most = max(most, inside)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			unlock, err := diskcache.Lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			count(1)
			count(-1)
			unlock()
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d holders at once", most)
	}
}

func TestLockGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	unlock, err := diskcache.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := diskcache.Lock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
