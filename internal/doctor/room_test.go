package doctor_test

import (
	"path/filepath"
	"testing"

	"bottle.internal/internal/doctor"
)

func TestTightest(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, test := range []struct {
		free []uint64
		want int
	}{
		{nil, -1},
		{[]uint64{2 * gib, 900 * gib}, -1},
		{[]uint64{900 * gib, 2*gib - 1}, 1},
		{[]uint64{gib, 0, gib}, 1},
		{[]uint64{gib, gib}, 0},
	} {
		var spaces []doctor.Space
		for _, free := range test.free {
			spaces = append(spaces, doctor.Space{Free: free})
		}
		got := doctor.Tightest(spaces)
		if (got == nil) != (test.want < 0) || got != nil && got != &spaces[test.want] {
			t.Errorf("%v: %v, want number %d", test.free, got, test.want)
		}
	}
}

// A directory that is still to be made gets its space from the nearest one that is there.
func TestMeasure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spaces, err := doctor.Measure([]doctor.Place{{What: "a", Dir: dir}, {What: "b", Dir: filepath.Join(dir, "not", "yet")}})
	if err != nil || len(spaces) != 2 || spaces[0].Free == 0 || spaces[1].Free == 0 || spaces[1].What != "b" {
		t.Errorf("%+v, %v", spaces, err)
	}
	if _, err := doctor.Measure([]doctor.Place{{Dir: "a\x00b"}}); err == nil {
		t.Error("no error for what cannot be measured")
	}
}
