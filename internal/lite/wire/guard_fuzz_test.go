package wire_test

import (
	"io"
	"net"
	"testing"

	"github.com/hashicorp/yamux"

	"bottle.internal/internal/lite/wire"
)

// FuzzGuest feeds any bytes to the host's end of the multiplexer: the session may end,
// the process may not.
func FuzzGuest(f *testing.F) {
	f.Add([]byte(muxFrame(1, 1, "\x00\x00\x00\x00", "") + muxFrame(0, 0, "\x00\x00\x00\x02", "\x00\x01")))
	f.Add([]byte(muxFrame(2, 1, "\x00\x00\x00\x01", "")))
	f.Add([]byte(muxFrame(3, 0, "\x00\x00\x00\x01", "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := net.Pipe()
		session, err := yamux.Client(wire.Guard(ours), wire.MuxConfig())
		if err != nil {
			t.Fatal(err)
		}
		drained, served := make(chan struct{}), make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, theirs); close(drained) }()
		go func() {
			defer close(served)
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				_, _ = wire.ReadSocketHeader(stream, 4)
				_ = stream.Close()
			}
		}()
		_, _ = theirs.Write(data)
		_ = theirs.Close()
		<-session.CloseChan()
		<-served
		<-drained
	})
}
