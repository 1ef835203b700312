package probe_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"bottle.internal/internal/guest/probe"
)

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	want := []probe.Probe{{Name: "a\nb", Kind: probe.TCP, Target: "127.0.0.1:1"}, {Name: "c", Kind: probe.Connect, Target: "x:1", Via: "y:2"}}
	var stream bytes.Buffer
	if err := probe.Write(&stream, want); err != nil {
		t.Fatal(err)
	}
	stream.WriteString("the archive")
	reader := bufio.NewReader(&stream)
	line, err := probe.ReadLine(reader)
	if err != nil {
		t.Fatal(err)
	}
	got, err := probe.Parse[probe.Probe](line)
	if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if rest, err := io.ReadAll(reader); string(rest) != "the archive" || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestLinesEnd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100<<10)
	if _, err := probe.ReadLine(bufio.NewReader(strings.NewReader(long + "\n"))); !errors.Is(err, probe.ErrTooLong) {
		t.Errorf("ReadLine of a long line: %v", err)
	}
	if _, err := probe.ReadLine(bufio.NewReader(strings.NewReader("half"))); !errors.Is(err, io.EOF) {
		t.Errorf("ReadLine of half a line: %v", err)
	}
	var line probe.Line
	var err error
	for range 100 {
		if _, addErr := line.Add([]byte(long[:1024])); addErr != nil {
			err = addErr
		}
	}
	if !errors.Is(err, probe.ErrTooLong) {
		t.Errorf("Add without an end: %v", err)
	}
}

// Whatever a guest says, both ways to read its line agree, whole or in pieces.
func FuzzLine(f *testing.F) {
	f.Add([]byte("[]\nrest"), uint8(1))
	f.Add([]byte(`[{"name":"a","reached":true,"saw":"\u0000"}]`+"\n"), uint8(3))
	f.Add([]byte("\n\n"), uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		read, readErr := probe.ReadLine(bufio.NewReader(bytes.NewReader(data)))
		var line probe.Line
		whole := false
		for rest := data; len(rest) > 0 && !whole; {
			n := min(len(rest), int(size)+1)
			var err error
			if whole, err = line.Add(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		if whole != (readErr == nil) || whole && !bytes.Equal(read, line.Bytes()) {
			t.Fatalf("%q, %v and %q, %v", read, readErr, line.Bytes(), whole)
		}
		if said, err := probe.Parse[probe.Observation](line.Bytes()); err == nil {
			var again bytes.Buffer
			if err := probe.Write(&again, said); err != nil {
				t.Fatal(err)
			}
		}
	})
}
