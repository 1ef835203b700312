package gitgate

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"bottle.internal/internal/gitgate/pushscan"
)

// FuzzObjects: whatever git says that a push holds, the list is within its limits or refused.
func FuzzObjects(f *testing.F) {
	oid := strings.Repeat("a", 40)
	f.Add([]byte(oid + " commit 200 \n" + oid + " tree 30 dir\n" + oid + " blob 5 dir/a file\n" + oid + " tag 7 \n"))
	f.Add([]byte(oid + " missing\n"))
	f.Add([]byte(oid + " blob -1 x\n"))
	f.Add([]byte(oid + " blob 99999999999999999999 x\n"))
	limits := Limits{ObjectBytes: 100, InflatedBytes: 150, Objects: 3}
	f.Fuzz(func(t *testing.T, data []byte) {
		found := &sorter{limits: limits}
		if err := found.read(bufio.NewReader(bytes.NewReader(data))); err != nil {
			return
		}
		all, bytes := 0, int64(0)
		for _, objects := range [][]object{found.commits, found.trees, found.blobs} {
			for _, o := range objects {
				if o.size < 0 || o.size > limits.ObjectBytes {
					t.Fatalf("an object of %d bytes", o.size)
				}
				all, bytes = all+1, bytes+o.size
			}
		}
		if all > limits.Objects || bytes > limits.InflatedBytes {
			t.Fatalf("%d objects of %d bytes", all, bytes)
		}
	})
}

// FuzzReadObject: an answer of git is exactly the object that was asked for, or none.
func FuzzReadObject(f *testing.F) {
	oid := strings.Repeat("a", 40)
	f.Add([]byte(oid+" blob 5\nhello\nrest"), int64(5))
	f.Add([]byte(oid+" blob 5\nhe"), int64(5))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		if size < 0 || size > 1<<10 {
			return // was refused before
		}
		got, err := readObject(bufio.NewReader(bytes.NewReader(data)), object{oid: oid, kind: "blob", size: size}, nil)
		if err == nil && (int64(len(got)) != size || !bytes.Contains(data, got)) {
			t.Fatalf("%d bytes of %d", len(got), size)
		}
	})
}

// FuzzTree: a tree is read whole or refused, and nobody's name of an entry passes unseen.
func FuzzTree(f *testing.F) {
	entry := func(mode, name string) string { return mode + " " + name + "\x00" + strings.Repeat("\x01", 20) }
	f.Add([]byte(entry("100644", "a") + entry("40000", "b\nc") + entry("160000", "m")))
	f.Add([]byte(entry("100644", ".git")))
	f.Add([]byte("100644 half\x00" + strings.Repeat("\x01", 19)))
	f.Add([]byte(entry("100644", "AKIAIOSFODNN7EXAMPLE")))
	rules := pushscan.NewRules()
	f.Fuzz(func(t *testing.T, data []byte) {
		scan, err := rules.NewScan(nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		in := &inspection{scan: scan, rules: rules, special: map[string]string{}}
		found, err := in.tree(t.Context(), object{oid: strings.Repeat("a", 40), kind: "tree", path: "dir"}, data)
		if err != nil && !errors.Is(err, pushscan.ErrOpaque) && !errors.Is(err, pushscan.ErrTooLarge) {
			t.Fatalf("an unclassified error: %v", err)
		}
		if found != nil && found.Rule == "" {
			t.Fatalf("a finding without a rule: %+v", found)
		}
	})
}
