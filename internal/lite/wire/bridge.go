package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	// MaxStreams is how many mounted-socket connections one guest may have open.
	MaxStreams = 512
	// SocketHeaderLen is the length of what opens such a stream: the index, big endian.
	SocketHeaderLen = 2

	maxChunk = 32 << 10
)

// SocketHeader encodes the index of a mounted socket.
func SocketHeader(index int) []byte {
	return binary.BigEndian.AppendUint16(nil, uint16(index))
}

// ReadSocketHeader reads the index; size is the length of the table it points into.
func ReadSocketHeader(r io.Reader, size int) (int, error) {
	var header [SocketHeaderLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, fmt.Errorf("reading a socket header: %w", noEOF(err))
	}
	index := int(binary.BigEndian.Uint16(header[:]))
	if index >= size {
		return 0, fmt.Errorf("%w: socket %d of %d", ErrProtocol, index, size)
	}
	return index, nil
}

// HalfCloser is a connection whose sending side closes on its own.
type HalfCloser interface {
	net.Conn
	CloseWrite() error
}

// Bridge copies between a multiplexed stream and a connection until both directions
// have ended, and closes both. On the stream the bytes travel in chunks of a u32
// length; length 0 is the end of one direction. A stream that ends without it was
// aborted, so a broken transfer is never taken for a complete one.
func Bridge(stream io.ReadWriteCloser, conn HalfCloser) {
	var (
		wait sync.WaitGroup
		once sync.Once
	)
	abort := func() { once.Do(func() { _ = stream.Close(); reset(conn) }) }
	wait.Go(func() {
		if fromStream(conn, stream) != nil {
			abort()
		}
	})
	wait.Go(func() {
		if toStream(stream, conn) != nil {
			abort()
		}
	})
	wait.Wait()
	once.Do(func() { _ = stream.Close(); _ = conn.Close() })
}

// reset makes the peer of a TCP connection see an error; a unix socket has no such thing.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func toStream(stream io.Writer, conn io.Reader) error {
	buffer := make([]byte, 4+maxChunk)
	for {
		n, err := conn.Read(buffer[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buffer, uint32(n))
			if _, err := stream.Write(buffer[:4+n]); err != nil {
				return err
			}
		}
		if err == io.EOF { //nolint:errorlint // Read returns the bare io.EOF
			_, err = stream.Write(make([]byte, 4))
			return err
		}
		if err != nil {
			return err
		}
	}
}

// fromStream goes on reading when nobody takes the bytes any more: a server may answer
// and close before it has read all, and its answer must still get through.
func fromStream(conn HalfCloser, stream io.Reader) error {
	buffer := make([]byte, maxChunk)
	for dead := false; ; {
		chunk, err := readChunk(stream, buffer)
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			_ = conn.CloseWrite() // fails only when the peer is gone, which toStream sees
			return nil
		}
		if !dead {
			_, err = conn.Write(chunk)
			dead = err != nil
		}
	}
}

// readChunk reads one chunk into buffer; an empty one is the end of the direction.
func readChunk(stream io.Reader, buffer []byte) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(stream, header[:]); err != nil {
		return nil, noEOF(err)
	}
	size := binary.BigEndian.Uint32(header[:])
	if uint64(size) > uint64(len(buffer)) {
		return nil, fmt.Errorf("%w: chunk of %d bytes, at most %d are allowed", ErrProtocol, size, len(buffer))
	}
	if _, err := io.ReadFull(stream, buffer[:size]); err != nil {
		return nil, noEOF(err)
	}
	return buffer[:size], nil
}
