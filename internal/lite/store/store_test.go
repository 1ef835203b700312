//go:build linux

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/eventually"
)

func nothing(Dir) error { return nil }

func TestCreateOpenRemove(t *testing.T) {
	t.Parallel()
	s := New(filepath.Join(t.TempDir(), "machines"))
	if names, err := s.Names(); len(names) != 0 || err != nil {
		t.Errorf("names of nothing: %v, %v", names, err)
	}
	record := Record{Name: "a", CPUs: 3, Labels: map[string]string{"k": "v"}}
	if err := s.Create(record, func(d Dir) error { return os.WriteFile(d.Path("disk"), nil, 0o600) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(record, nothing); !errors.Is(err, ErrExists) {
		t.Errorf("creating it again: %v", err)
	}
	failure := errors.New("disk full")
	if err := s.Create(Record{Name: "b"}, func(Dir) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("a failing create: %v", err)
	}
	entries, err := os.ReadDir(s.root)
	if err != nil || len(entries) != 1 {
		t.Errorf("after a failed create the store holds %v, %v", entries, err)
	}
	d, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadRecord()
	if err != nil || got.CPUs != 3 || got.Labels["k"] != "v" || got.CreatedAt == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"b", "", ".", "..", "../machines/a", "a/../a"} {
		if _, err := s.Open(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("opening %q: %v", name, err)
		}
	}
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(d); err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
	if _, err := d.Lock(); !errors.Is(err, ErrNotFound) {
		t.Errorf("locking what was removed: %v", err)
	}
	if entries, _ := os.ReadDir(s.root); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

func TestCreateRace(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir())
	var wait sync.WaitGroup
	var won, lost atomic.Int32
	for range 8 {
		wait.Go(func() {
			switch err := s.Create(Record{Name: "a"}, nothing); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrExists):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

func TestLockPassesToAnotherDescriptor(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir())
	if err := s.Create(Record{Name: "a"}, nothing); err != nil {
		t.Fatal(err)
	}
	d, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, ErrBusy) {
		t.Errorf("a second lock: %v", err)
	}
	// As start does: the child's descriptor keeps the lock when ours is closed.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	child, err := execx.Start(t.Context(), execx.Cmd{Path: "/bin/cat", Stdin: read, Files: []*os.File{lock}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = lock.Close(), read.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.LockWait(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("while the child lives: %v", err)
	}
	_ = write.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	// A process that another test forks has the lock, too, until its exec.
	eventually.True(t, "the lock is free after the child", func() bool {
		lock, err = d.Lock()
		return err == nil
	})
	_ = lock.Close()
}

func TestStillNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if !stillNamed(file, path) {
		t.Error("it is")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if stillNamed(file, path) {
		t.Error("it was deleted")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stillNamed(file, path) {
		t.Error("it was replaced")
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir())
	make := func(name string, age time.Duration) string {
		path := filepath.Join(s.root, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		return path
	}
	make(".new-crashed", time.Hour)
	make(".del-crashed", time.Hour)
	make(".new-fresh", 0)
	busy := make(".new-busy", time.Hour)
	lock, err := lockPath(filepath.Join(busy, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	when := time.Now().Add(-time.Hour)
	if err := os.Chtimes(busy, when, when); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(Record{Name: "a"}, nothing); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(s.root)
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if want := []string{".new-busy", ".new-fresh", "a"}; !slices.Equal(left, want) {
		t.Errorf("left: %v, want %v", left, want)
	}
	if names, err := s.Names(); !slices.Equal(names, []string{"a"}) || err != nil {
		t.Errorf("names: %v, %v", names, err)
	}
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "9", "A_b-c", "bottle-demo-x7k2p", strings.Repeat("x", 128)} {
		if err := ValidateName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", "_a", "a-", "a--b", "a.b", "a/b", "..", "ä", "a\n", "a b", strings.Repeat("x", 129)} {
		if ValidateName(name) == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"name":"a","cpus":1,"labels":{"k":"v"}}`))
	f.Add([]byte(`{"supervisor":{"pid":1,"start":2}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Dir(t.TempDir())
		for _, name := range []string{recordFile, runFile} {
			if err := os.WriteFile(d.Path(name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = d.ReadRecord()
		if run, ok, err := d.ReadRun(); ok && err == nil {
			run.Supervisor.Alive()
		}
	})
}
