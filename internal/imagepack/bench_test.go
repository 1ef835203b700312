package imagepack_test

import (
	"errors"
	"os"
	"testing"
)

// BenchmarkHit shows that a hit costs the same whatever the size of the artifact.
func BenchmarkHit(b *testing.B) {
	for name, size := range map[string]int64{"1MiB": 1 << 20, "1GiB": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			work := newBench(b)
			work.packer.write = func(output string, _ []byte) error {
				path := output + ".smolmachine"
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size-64)); err != nil {
					return err
				}
				file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = file.Write(withFooter(nil))
				return errors.Join(err, file.Close())
			}
			image := work.built.image("one")
			if _, err := work.store().Ensure(b.Context(), image); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				artifact, err := work.store().Ensure(b.Context(), image)
				if err != nil || !artifact.Cached {
					b.Fatal(artifact, err)
				}
			}
		})
	}
}
