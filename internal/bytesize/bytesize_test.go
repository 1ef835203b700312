package bytesize_test

import (
	"testing"

	"bottle.internal/internal/bytesize"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB",
		591_000_000: "591.0 MB", 1_500_000_000: "1.5 GB", 2_000_000_000_000: "2.0 TB",
	} {
		if got := bytesize.Of(n); got != want {
			t.Errorf("Of(%d) = %q, want %q", n, got, want)
		}
	}
}
