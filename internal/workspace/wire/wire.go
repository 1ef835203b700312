// Package wire is the one stream in which a workspace travels, in either direction: a tar
// archive whose names begin with what they are.
//
// Invariants of a Reader: it takes regular files and symbolic links of our own naming and
// nothing else; a path is checked by package pathcheck and comes once; counts, names and
// bytes are bounded before they are used; the stream is good only if its end was seen, so a
// cut one is an error and never a smaller workspace.
package wire

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
)

// What a record is about, as the first part of its name.
const (
	Head    = "head"    // the first: JSON that says what follows
	Content = "f"       // a file or link
	Gone    = "d"       // a path of the base that is there no more
	Skipped = "s"       // a path that is not sent; the content says why
	Base    = "base"    // the base, for pack
	History = "history" // a git bundle, for unpack
	End     = "end"     // the last
)

// maxHead bounds the first record, and the reason of a skipped one.
const (
	maxHead   = 4 << 20
	maxReason = 200
)

// Unpack is the head of what goes into a guest.
type Unpack struct {
	ID      string `json:"id"` // the guest keeps it
	Workdir string `json:"workdir"`
	Git     *Git   `json:"git,omitempty"` // a History follows
}

// Git is the repository that the guest makes.
type Git struct {
	Branch string           `json:"branch,omitempty"` // empty: a detached HEAD
	Origin string           `json:"origin,omitempty"`
	Hidden []workspace.Name `json:"hidden,omitempty"` // tracked files that stay on the host
}

// Pack is the head of what the host asks a guest for; a Base follows.
type Pack struct {
	ID      string `json:"id,omitempty"` // whose base it is; empty: there is none
	Workdir string `json:"workdir"`
}

// Request writes all that the guest needs to answer: p, and the base.
func (p Pack) Request(out io.Writer, base workspace.Base) error {
	var text bytes.Buffer
	if _, err := base.WriteTo(&text); err != nil {
		return err
	}
	stream, err := NewWriter(out, p)
	if err != nil {
		return err
	}
	if err := stream.Attach(Base, int64(text.Len()), &text); err != nil {
		return err
	}
	return stream.Close()
}

// Packed is the head of the answer.
type Packed struct {
	Format int `json:"format"`
}

// Format is the version of the stream.
const Format = 1

// Writer writes a stream.
type Writer struct{ tar *tar.Writer }

// NewWriter begins a stream with its head.
func NewWriter(w io.Writer, head any) (*Writer, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("writing the head: %w", err)
	}
	out := &Writer{tar.NewWriter(w)}
	err = out.record(Head, int64(len(text)), 0o644, bytes.NewReader(text))
	return out, err
}

// File sends a file; r gives exactly size bytes.
func (w *Writer) File(name string, exec bool, size int64, r io.Reader) error {
	mode := int64(0o644)
	if exec {
		mode = 0o755
	}
	return w.record(Content+"/"+name, size, mode, r)
}

// Link sends a symbolic link.
func (w *Writer) Link(name, target string) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: Content + "/" + name, Linkname: target, Mode: 0o777})
}

// Gone says that a path is there no more.
func (w *Writer) Gone(name string) error {
	return w.record(Gone+"/"+name, 0, 0o644, strings.NewReader(""))
}

// Skipped says that a path is not sent, and why.
func (w *Writer) Skipped(name, why string) error {
	why = why[:min(len(why), maxReason)]
	return w.record(Skipped+"/"+name, int64(len(why)), 0o644, strings.NewReader(why))
}

// Attach sends the base or the history.
func (w *Writer) Attach(kind string, size int64, r io.Reader) error {
	return w.record(kind, size, 0o644, r)
}

// Close sends the end.
func (w *Writer) Close() error {
	if err := w.record(End, 0, 0o644, strings.NewReader("")); err != nil {
		return err
	}
	return w.tar.Close()
}

func (w *Writer) record(name string, size, mode int64, r io.Reader) error {
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: mode}); err != nil {
		return err
	}
	n, err := io.Copy(w.tar, r)
	switch {
	case errors.Is(err, tar.ErrWriteTooLong):
		return errors.New("it grew while it was read")
	case err != nil:
		return err
	case n != size:
		return errors.New("it shrank while it was read")
	}
	return nil
}

// Record is one thing in a stream. Content is valid until the next one is read.
type Record struct {
	Kind    string
	Path    string
	State   workspace.State // of a Content, without the sum
	Content io.Reader
	Size    int64
}

// Reader reads a stream of hostile bytes.
type Reader struct {
	tar    *tar.Reader
	limits workspace.Limits
	seen   map[string]bool
	files  int
	bytes  int64
	ended  bool
}

// NewReader begins to read a stream.
func NewReader(r io.Reader, limits workspace.Limits) *Reader {
	return &Reader{tar: tar.NewReader(r), limits: limits, seen: map[string]bool{}}
}

// Head reads the first record into head.
func (r *Reader) Head(head any) error {
	record, err := r.next()
	if err != nil {
		return err
	}
	if record.Kind != Head || record.Size > maxHead {
		return errors.New("the stream does not begin with its head")
	}
	if err := json.NewDecoder(record.Content).Decode(head); err != nil {
		return fmt.Errorf("reading the head: %w", err)
	}
	return nil
}

// Next returns the next record, or io.EOF after the end record and nothing else.
func (r *Reader) Next() (Record, error) {
	record, err := r.next()
	switch {
	case err != nil:
		return Record{}, err
	case record.Kind == Head:
		return Record{}, errors.New("a second head")
	case record.Kind == End:
		r.ended = true
		if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
			return Record{}, errors.New("something follows the end")
		}
		return Record{}, io.EOF
	}
	return record, nil
}

func (r *Reader) next() (Record, error) {
	header, err := r.tar.Next()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Record{}, fmt.Errorf("the stream is cut off: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading the stream: %w", err)
	}
	if r.files++; r.files > r.limits.Files+8 { // head, end and what is attached
		return Record{}, fmt.Errorf("more than %d files", r.limits.Files)
	}
	if header.Size < 0 || header.Size > r.limits.Bytes-r.bytes {
		return Record{}, fmt.Errorf("more than %d bytes", r.limits.Bytes)
	}
	r.bytes += header.Size
	return r.record(header)
}

func (r *Reader) record(header *tar.Header) (Record, error) {
	kind, name, has := strings.Cut(header.Name, "/")
	record := Record{Kind: kind, Path: name, Content: r.tar, Size: header.Size}
	refuse := func(why string) (Record, error) {
		shown := header.Name[:min(len(header.Name), pathcheck.MaxComponent)]
		return Record{}, fmt.Errorf("refused %s: %s", workspace.Name(shown).Show(), why)
	}
	if header.Typeflag != tar.TypeReg && (header.Typeflag != tar.TypeSymlink || kind != Content) {
		return refuse("neither a file nor a link")
	}
	switch kind {
	case Head, End, Base, History:
		if has {
			return refuse("a name that nobody has given")
		}
		return record, nil
	case Content, Gone, Skipped:
	default:
		return refuse("a name that nobody has given")
	}
	if err := pathcheck.Check(name); err != nil && kind != Skipped {
		return refuse(err.Error())
	}
	if r.seen[header.Name] {
		return refuse("it comes twice")
	}
	r.seen[header.Name] = true
	switch {
	case kind == Gone && header.Size != 0, kind == Skipped && header.Size > maxReason:
		return refuse("too long")
	case header.Typeflag == tar.TypeSymlink:
		if len(header.Linkname) > pathcheck.MaxPath {
			return refuse("a target that no file system takes")
		}
		record.State = workspace.State{Kind: workspace.Link, Target: workspace.Name(header.Linkname)}
	case kind == Content:
		record.State = workspace.State{Kind: workspace.File, Size: header.Size, Exec: header.Mode&0o100 != 0}
	}
	return record, nil
}
