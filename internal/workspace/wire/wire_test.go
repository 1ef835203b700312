package wire_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
	"bottle.internal/internal/workspace/wire"
)

func limits() workspace.Limits { return workspace.Limits{Files: 4, Bytes: 1000} }

// readAll returns what a stream says, a line for each record, and how it ended.
func readAll(stream []byte, limits workspace.Limits) (string, error) {
	r := wire.NewReader(bytes.NewReader(stream), limits)
	var head wire.Packed
	if err := r.Head(&head); err != nil {
		return "", err
	}
	var said strings.Builder
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return said.String(), nil
		}
		if err != nil {
			return said.String(), err
		}
		content, err := io.ReadAll(record.Content)
		if err != nil {
			return said.String(), err
		}
		fmt.Fprintf(&said, "%s %q %s %v %q %q\n", record.Kind, record.Path, record.State.Kind, record.State.Exec, record.State.Target, content)
	}
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	var stream bytes.Buffer
	w, err := wire.NewWriter(&stream, wire.Packed{Format: wire.Format})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("long/", 60) + "name"
	err = errors.Join(
		w.File("a\nb", true, 3, strings.NewReader("abc")), w.File("\xff\xfe", false, 0, strings.NewReader("")), w.File(long, false, 1, strings.NewReader("x")),
		w.Link("l", "a\nb\xff"), w.Gone("gone\xff"), w.Skipped("s/.git", "why"), w.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(stream.Bytes(), workspace.Limits{Files: 10, Bytes: 100})
	want := `f "a\nb" file true "" "abc"` + "\n" + `f "\xff\xfe" file false "" ""` + "\n" + fmt.Sprintf("f %q file false \"\" \"x\"\n", long) +
		`f "l" link false "a\nb\xff" ""` + "\n" + `d "gone\xff"  false "" ""` + "\n" + `s "s/.git"  false "" "why"` + "\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	// Whatever is missing at the end, it is no smaller workspace.
	for n := range stream.Len() - 1100 {
		if said, err := readAll(stream.Bytes()[:n], workspace.Limits{Files: 10, Bytes: 100}); err == nil {
			t.Fatalf("cut at %d it is good: %s", n, said)
		}
	}
}

func TestWriterWantsTheSizeItWasTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"ab": "it shrank while it was read", "abcd": "it grew while it was read"} {
		w, err := wire.NewWriter(io.Discard, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.File("f", false, 3, strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// archive makes a stream by hand, as a guest that lies would.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, header := range entries {
		text := "x"
		if header.Name == wire.Head {
			text = `{"format":1}`
		}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Typeflag == tar.TypeReg && header.Size == 0 && header.Name != wire.End && !strings.HasPrefix(header.Name, wire.Gone) {
			header.Size = int64(len(text))
		}
		if header.Typeflag != tar.TypeReg {
			header.Size = 0
		}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size == int64(len(text)) {
			_, _ = io.WriteString(w, text)
		} else if header.Size > 0 && header.Size < 1<<20 {
			_, _ = w.Write(make([]byte, header.Size))
		}
	}
	_ = w.Flush()
	return out.Bytes()
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	named := func(names ...string) []tar.Header {
		headers := []tar.Header{{Name: wire.Head}}
		for _, name := range names {
			headers = append(headers, tar.Header{Name: name})
		}
		return append(headers, tar.Header{Name: wire.End})
	}
	typed := func(flag byte, name, link string) []tar.Header {
		return []tar.Header{{Name: wire.Head}, {Name: name, Typeflag: flag, Linkname: link}, {Name: wire.End}}
	}
	for _, test := range []struct {
		name    string
		entries []tar.Header
		want    string
	}{
		{"good", named("f/a", "f/b/c", "d/e"), ""},
		{"absolute", named("f//etc/passwd"), "refused f//etc/passwd: an absolute path, or an empty component"},
		{"out", named("f/../x"), "refused f/../x: a dot component"},
		{"git", named("f/.git/hooks/x"), "refused f/.git/hooks/x: git's own directory"},
		{"git, gone", named("d/.git/config"), "refused d/.git/config: git's own directory"},
		{"git, folded", named("f/.G\u200cit/x"), "refused f/.G\\u200cit/x: git's own directory"},
		{"twice", named("f/a", "f/a"), "refused f/a: it comes twice"},
		{"hardlink", typed(tar.TypeLink, "f/a", "f/b"), "refused f/a: neither a file nor a link"},
		{"directory", typed(tar.TypeDir, "f/a/", ""), "refused f/a/: neither a file nor a link"},
		{"device", typed(tar.TypeChar, "f/a", ""), "refused f/a: neither a file nor a link"},
		{"block device", typed(tar.TypeBlock, "f/a", ""), "refused f/a: neither a file nor a link"},
		{"pipe", typed(tar.TypeFifo, "f/a", ""), "refused f/a: neither a file nor a link"},
		{"a deleted link", typed(tar.TypeSymlink, "d/a", "b"), "refused d/a: neither a file nor a link"},
		{"foreign name", named("etc/passwd"), "refused etc/passwd: a name that nobody has given"},
		{"no name", named("f"), "refused f: an empty path"},
		{"long target", typed(tar.TypeSymlink, "f/a", strings.Repeat("x", 4096)), "refused f/a: a target that no file system takes"},
		{"two heads", named("head"), "a second head"},
		{"no head", []tar.Header{{Name: "f/a"}}, "the stream does not begin with its head"},
		{"nothing", nil, "the stream is cut off: unexpected EOF"},
		{"no end", []tar.Header{{Name: wire.Head}, {Name: "f/a"}}, "the stream is cut off: unexpected EOF"},
		{"after the end", []tar.Header{{Name: wire.Head}, {Name: wire.End}, {Name: "f/a"}}, "something follows the end"},
		{"too many", named("f/1", "f/2", "f/3", "f/4", "f/5", "f/6", "f/7", "f/8", "f/9", "f/10", "f/11", "f/12"), "more than 4 files"},
		{"too much", []tar.Header{{Name: wire.Head}, {Name: "f/a", Size: 600}, {Name: "f/b", Size: 600}}, "more than 1000 bytes"},
		{"huge", []tar.Header{{Name: wire.Head}, {Name: "f/a", Size: 1 << 40}}, "more than 1000 bytes"},
		{"long name", named("f/" + strings.Repeat("a", 300)), "refused f/" + strings.Repeat("a", 253) + ": a component of 300 bytes"},
	} {
		_, err := readAll(archive(t, test.entries...), limits())
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzReader: whatever bytes come, what is taken was checked and is within the limits.
func FuzzReader(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: wire.Head}, tar.Header{Name: "f/a"}, tar.Header{Name: wire.End}))
	f.Add(archive(f, tar.Header{Name: wire.Head}, tar.Header{Name: "f/l", Typeflag: tar.TypeSymlink, Linkname: "a"}, tar.Header{Name: "d/x"}, tar.Header{Name: wire.End}))
	f.Add(archive(f, tar.Header{Name: wire.Head}, tar.Header{Name: "f/../a"}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := wire.NewReader(bytes.NewReader(stream), workspace.Limits{Files: 4, Bytes: 1000})
		var head wire.Packed
		if r.Head(&head) != nil {
			return
		}
		total, seen := int64(0), map[string]bool{}
		for {
			record, err := r.Next()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, record.Content)
			if total += n; total > 1000 || len(seen) > 12 {
				t.Fatalf("%d bytes, %d records", total, len(seen))
			}
			key := record.Kind + "/" + record.Path
			if seen[key] && record.Path != "" {
				t.Fatalf("%q twice", key)
			}
			seen[key] = true
			if record.Kind == wire.Content || record.Kind == wire.Gone {
				if err := pathcheck.Check(record.Path); err != nil {
					t.Fatalf("%q: %v", record.Path, err)
				}
			}
		}
	})
}
