//go:build linux

package guest

import (
	"errors"
	"io"
	"os"

	"bottle.internal/internal/lite/wire"
)

// endOfTransmission is what a terminal takes for the end of its input.
const endOfTransmission = 4

// drain feeds the command and acknowledges what it took. A command that closed its
// stdin still gets its client's bytes acknowledged, so that the client is never stuck.
func (b *stdinBuffer) drain(file *os.File, conn *wire.Conn) {
	buffer := make([]byte, wire.MaxData)
	for gone := false; ; {
		n, err := b.next(buffer)
		if errors.Is(err, io.EOF) {
			finish(file)
			return
		}
		if err != nil {
			return
		}
		if !gone {
			_, err = file.Write(buffer[:n])
			gone = err != nil
		}
		if conn.SendAck(n) != nil {
			return
		}
	}
}

// finish closes a pipe; a terminal stays open for its output and gets ^D.
func finish(file *os.File) {
	if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		_, _ = file.Write([]byte{endOfTransmission})
		return
	}
	_ = file.Close()
}
