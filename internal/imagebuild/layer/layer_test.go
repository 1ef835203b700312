package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/layer"
	"bottle.internal/tests/fakeimage"
)

func list(t *testing.T, archive io.Reader) string {
	t.Helper()
	var lines []string
	for _, f := range fakeimage.Read(t, archive) {
		lines = append(lines, fmt.Sprintf("%c %o %d:%d %s%s %d %s %s %v", f.Typeflag, f.Mode, f.Uid, f.Gid,
			f.Uname, f.Gname, f.ModTime.Unix(), f.Name, f.Linkname+f.Content, f.PAXRecords))
	}
	return strings.Join(lines, "\n")
}

func TestWriteSortsAndAddsParents(t *testing.T) {
	t.Parallel()
	home := layer.Dir("home/agent", 0o750)
	home.UID, home.GID = 1000, 1000
	entries := []layer.Entry{
		layer.File("home/agent/b", 0o600, []byte("B")),
		layer.Symlink("home/agent-link", "agent"),
		home,
		layer.File("a", 0o4755, nil),
	}
	want := `0 4755 0:0  0 a  map[]
5 755 0:0  0 home/  map[]
5 750 1000:1000  0 home/agent/  map[]
0 600 0:0  0 home/agent/b B map[]
2 777 0:0  0 home/agent-link agent map[]`
	var first bytes.Buffer
	if err := layer.Write(&first, entries); err != nil {
		t.Fatal(err)
	}
	if got := list(t, bytes.NewReader(first.Bytes())); got != want {
		t.Errorf("tar:\n%s\nwant:\n%s", got, want)
	}
	slices.Reverse(entries)
	var second bytes.Buffer
	if err := layer.Write(&second, entries); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("another order gives other bytes (%v)", err)
	}
}

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	file := layer.File
	for _, test := range []struct {
		want    string
		entries []layer.Entry
	}{
		{`path "../a" of a layer is not clean`, []layer.Entry{file("../a", 0, nil)}},
		{`path "/a" of a layer is not clean`, []layer.Entry{file("/a", 0, nil)}},
		{`path "" of a layer is not clean`, []layer.Entry{file("", 0, nil)}},
		{"path /a is in the layer twice", []layer.Entry{file("a", 0, nil), file("a", 0, nil)}},
		{"path /a/b of the layer lies below /a, which is no directory", []layer.Entry{file("a", 0, nil), file("a/b", 0, nil)}},
		{"path /a/b of the layer lies below /a, which is no directory", []layer.Entry{file("a/b", 0, nil), layer.Symlink("a", "/etc")}},
	} {
		if err := layer.Write(io.Discard, test.entries); err == nil || err.Error() != test.want {
			t.Errorf("err = %v, want %s", err, test.want)
		}
	}
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	archive := tar.NewWriter(&in)
	now := time.Now()
	for _, header := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o40755},
		{Typeflag: tar.TypeReg, Name: "./etc/passwd", Mode: 0o644, Size: 4, Uname: "me", Gname: "us", ModTime: now, AccessTime: now, Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: "./etc/resolv.conf", Mode: 0o644, Size: 4},
		{Typeflag: tar.TypeReg, Name: "./etc/hostname", Mode: 0o644, Size: 4},
		{Typeflag: tar.TypeLink, Name: "./etc/hard", Linkname: "./etc/passwd", Mode: 0o644},
		{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeReg, Name: "../../ping", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "cap", "comment": "x"}},
		{Typeflag: tar.TypeSymlink, Name: "./lib", Linkname: "usr/lib", Mode: 0o777},
	} {
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := io.WriteString(archive, "root"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	want := `5 755 0:0  0 etc/  map[]
0 644 0:0  0 etc/passwd root map[]
1 644 0:0  0 etc/hard etc/passwd map[]
0 755 0:0  0 ping  map[SCHILY.xattr.security.capability:cap]
2 777 0:0  0 lib usr/lib map[]`
	var kept []string
	watch := layer.Watch{Names: []string{"etc/passwd", "etc/hard", "etc"}, Keep: func(header *tar.Header, content []byte) {
		kept = append(kept, header.Name+"="+string(content))
	}}
	var out bytes.Buffer
	if err := layer.Normalise(&out, bytes.NewReader(in.Bytes()), watch); err != nil {
		t.Fatal(err)
	}
	if got := list(t, &out); got != want {
		t.Errorf("tar:\n%s\nwant:\n%s", got, want)
	}
	if err := layer.Read(&in, watch); err != nil || strings.Join(kept, " ") != "etc/passwd=root etc/passwd=root" {
		t.Errorf("kept %q, %v", kept, err)
	}
	if err := layer.Normalise(io.Discard, strings.NewReader(strings.Repeat("x", 600)), watch); err == nil {
		t.Error("nonsense is a tar")
	}
}

func store(t *testing.T) *layer.Store {
	t.Helper()
	return &layer.Store{Dir: t.TempDir(), Events: event.Discard()}
}

func source(key string, fill func(io.Writer) error) layer.Source {
	return layer.Source{Key: key, Name: key, Fill: func(_ context.Context, w io.Writer) error { return fill(w) }}
}

func files(t *testing.T, s *layer.Store) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func TestStoreMakesALayerOnce(t *testing.T) {
	t.Parallel()
	s := store(t)
	var fills atomic.Int32
	fill := func(w io.Writer) error {
		fills.Add(1)
		return layer.Write(w, []layer.Entry{layer.File("a", 0o644, []byte("A"))})
	}
	first, err := s.FromTar(t.Context(), source("k", fill))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Layer(first); err != nil {
		t.Error(err)
	}
	again, err := s.FromTar(t.Context(), source("k", fill))
	if err != nil || fills.Load() != 1 || *again != *first {
		t.Errorf("made %d times, %v", fills.Load(), err)
	}
	for name, damage := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 3) },
		"longer":    func(path string) error { return os.Truncate(path, 3000) },
		"gone":      os.Remove,
		"no record": func(path string) error { return os.Remove(path + ".json") },
		"bad record": func(path string) error {
			return os.WriteFile(path+".json", []byte("{"), 0o600)
		},
	} {
		before := fills.Load()
		if err := damage(filepath.Join(s.Dir, "layers", "k.layer")); err != nil {
			t.Fatal(err)
		}
		repaired, err := s.FromTar(t.Context(), source("k", fill))
		if err != nil || fills.Load() != before+1 || *repaired != *first {
			t.Errorf("%s: made %d times more, %v", name, fills.Load()-before, err)
		}
	}
	if got := files(t, s); got != "k.layer k.layer.json" {
		t.Errorf("files: %s", got)
	}
}

func TestFailedLayerLeavesNothing(t *testing.T) {
	t.Parallel()
	s := store(t)
	if err := os.MkdirAll(filepath.Join(s.Dir, "layers"), 0o755); err != nil {
		t.Fatal(err)
	}
	// What a killed process left.
	if err := os.WriteFile(filepath.Join(s.Dir, "layers", "k.layer.tmp-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.FromTar(t.Context(), source("k", func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return &os.PathError{Op: "write", Path: "k.layer", Err: syscall.ENOSPC}
	}))
	want := "making the layer k: write k.layer: no space left on device\n" +
		"free some space on the disk that holds the cache, or point XDG_CACHE_HOME at another one"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v\nwant  %s", err, want)
	}
	if got := files(t, s); got != "" {
		t.Errorf("left: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.FromTar(ctx, source("k", func(w io.Writer) error {
		cancel()
		_, err := w.Write([]byte("half"))
		return err
	}))
	if !errors.Is(err, context.Canceled) || files(t, s) != "" {
		t.Errorf("err = %v, left: %s", err, files(t, s))
	}
}

func TestFromLayerKeepsTheBytes(t *testing.T) {
	t.Parallel()
	theirs, err := random.Layer(1000, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	s := store(t)
	ours, err := s.FromLayer(t.Context(), layer.Source{Key: "k", Name: "k"}, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Layer(ours); err != nil {
		t.Error(err)
	}
	want, err := theirs.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ours.Digest(); err != nil || got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
	if mediaType, err := ours.MediaType(); err != nil || mediaType != types.OCILayer {
		t.Errorf("media type %s, %v", mediaType, err)
	}
}

// liar promises another digest than its bytes have.
type liar struct{ v1.Layer }

func (liar) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, nil
}

func TestFromLayerRefusesOtherBytes(t *testing.T) {
	t.Parallel()
	theirs, err := random.Layer(10, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := theirs.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s := store(t)
	_, err = s.FromLayer(t.Context(), layer.Source{Key: "k", Name: "k"}, liar{theirs})
	want := "making the layer k: the bytes have the digest " + digest.String() + ", the manifest says sha256:" + strings.Repeat("0", 64)
	if err == nil || err.Error() != want || files(t, s) != "" {
		t.Errorf("err = %v\nwant  %s\nleft: %s", err, want, files(t, s))
	}
}
