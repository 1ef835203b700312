package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"bottle.internal/internal/lite/wire"
)

// buffer is a connection to oneself.
type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

func TestFramesRoundTrip(t *testing.T) {
	t.Parallel()
	var b buffer
	conn := wire.NewConn(&b)
	request := wire.Request{Op: wire.OpExec, Exec: &wire.Exec{Argv: []string{"a", "b"}, TTY: true, Rows: 3}}
	data := bytes.Repeat([]byte("x"), wire.MaxData+1)
	for _, err := range []error{
		conn.SendJSON(wire.KindRequest, request), conn.SendData(wire.KindStdout, data), conn.SendAck(70000),
		conn.SendResize(50, 132), conn.Send(wire.KindStdinEOF, nil), conn.SendJSON(wire.KindExit, wire.Exit{Code: 3}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(want wire.Kind) wire.Frame {
		frame, err := conn.Receive()
		if err != nil || frame.Kind != want {
			t.Fatalf("frame %q, %v; want %q", frame.Kind, err, want)
		}
		return frame
	}
	var got wire.Request
	if err := next(wire.KindRequest).Decode(wire.KindRequest, &got); err != nil || got.Exec.Rows != 3 || len(got.Exec.Argv) != 2 {
		t.Errorf("request %+v, %v", got, err)
	}
	if n := len(next(wire.KindStdout).Payload) + len(next(wire.KindStdout).Payload); n != len(data) {
		t.Errorf("%d bytes of data", n)
	}
	if n := next(wire.KindAck).Ack(); n != 70000 {
		t.Errorf("ack of %d", n)
	}
	if rows, cols := next(wire.KindResize).Resize(); rows != 50 || cols != 132 {
		t.Errorf("resize to %d, %d", rows, cols)
	}
	next(wire.KindStdinEOF)
	var exit wire.Exit
	if err := next(wire.KindExit).Decode(wire.KindRequest, &exit); err == nil ||
		err.Error() != "protocol violation: frame 'x' where 'R' was expected" {
		t.Errorf("decoding an exit as a request: %v", err)
	}
	if _, err := conn.Receive(); err != io.EOF {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		"":                         "EOF",
		"o\x00\x00":                "unexpected EOF",
		"o\x00\x00\x00\x02a":       "reading a frame: unexpected EOF",
		"z\x00\x00\x00\x00":        "protocol violation: unknown frame kind 0x7a",
		"o\x00\x00\x80\x01":        "protocol violation: frame 'o' of 32769 bytes, at most 32768 are allowed",
		"x\xff\xff\xff\xff":        "protocol violation: frame 'x' of 4294967295 bytes, at most 1048576 are allowed",
		"a\x00\x00\x00\x03abc":     "protocol violation: frame 'a' of 3 bytes, want 4",
		"w\x00\x00\x00\x00":        "protocol violation: frame 'w' of 0 bytes, want 4",
		"s\x00\x00\x00\x00":        "protocol violation: frame 's' of 0 bytes, want 1",
		"q\x00\x00\x00\x01x":       "protocol violation: frame 'q' of 1 bytes, at most 0 are allowed",
		"GET / HTTP/1.1\r\n\r\n\r": "protocol violation: unknown frame kind 0x47",
	} {
		if _, err := wire.ReadFrame(strings.NewReader(input)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", input, err, want)
		}
	}
	if err := wire.NewConn(&buffer{}).Send(wire.KindStdout, make([]byte, wire.MaxData+1)); !errors.Is(err, wire.ErrProtocol) {
		t.Errorf("sending too much: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x02ab"))
	f.Add([]byte("w\x00\x00\x00\x04abcd"))
	f.Add([]byte("x\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := wire.ReadFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		if len(frame.Payload) > wire.MaxJSON {
			t.Fatalf("a frame of %d bytes", len(frame.Payload))
		}
		var exit wire.Exit
		_ = frame.Decode(wire.KindExit, &exit)
		switch frame.Kind {
		case wire.KindAck:
			if frame.Ack() < 0 {
				t.Fatal("a negative acknowledgement")
			}
		case wire.KindResize:
			frame.Resize()
		}
		// What was read is what Send would write.
		var b buffer
		if err := wire.NewConn(&b).Send(frame.Kind, frame.Payload); err != nil || !bytes.HasPrefix(data, b.Bytes()) {
			t.Fatalf("%q was written as %q: %v", data, b.Bytes(), err)
		}
	})
}
