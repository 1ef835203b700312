//go:build linux

package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The writable disk of a machine fits the image that it was made over, and no other.
func TestSourceNoticesAnotherArtifact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(path string) error
		want   string // in front of the path
	}{
		{"unchanged", func(string) error { return nil }, ""},
		{"read by somebody", func(path string) error { _, err := os.ReadFile(path); return err }, ""},
		{"removed", os.Remove, "source .smolmachine not found: "},
		{"longer", func(path string) error { return os.WriteFile(path, []byte("packed more"), 0o600) }, "source .smolmachine changed since the machine was created: "},
		{"replaced by its like", func(path string) error {
			now := time.Now()
			info, err := os.Stat(path)
			if err == nil {
				now = info.ModTime()
				err = os.WriteFile(path+".new", []byte("packed"), 0o600)
			}
			if err == nil {
				err = os.Chtimes(path+".new", now, now)
			}
			if err == nil {
				err = os.Rename(path+".new", path)
			}
			return err
		}, "source .smolmachine changed since the machine was created: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x.smolmachine")
			if err := os.WriteFile(path, []byte("packed"), 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := SourceOf(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.change(path); err != nil {
				t.Fatal(err)
			}
			got, want := "", test.want
			if want != "" {
				want += path
			}
			if err := source.Check(); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("Check() = %q, want %q", got, want)
			}
		})
	}
}
