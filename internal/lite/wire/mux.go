package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// MuxConfig is the multiplexer's configuration on both ends.
func MuxConfig() *yamux.Config {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false // the guest may be suspended for long; the supervisor owns the process anyway
	config.ConnectionWriteTimeout = time.Minute
	config.StreamOpenTimeout = 2 * time.Minute
	config.StreamCloseTimeout = 10 * time.Second // half-close travels in-band, see Bridge
	config.AcceptBacklog = MaxStreams
	config.LogOutput = io.Discard // the guest would choose what is written to the host's log
	return config
}

const (
	muxHeader     = 12
	muxTypeData   = 0
	muxTypeWindow = 1
	muxTypePing   = 2
	muxTypeGoAway = 3
	muxFlagSYN    = 1
	// muxWindow is yamux's initial window, which we never raise: no data frame is longer.
	muxWindow = 256 << 10
)

// Guard checks the multiplexer's frame headers of a guest before yamux sees them.
// yamux answers each ping in a goroutine of its own, so a guest that pings and does
// not read would fill the host's memory; ours never pings.
func Guard(conn net.Conn) net.Conn { return &guard{Conn: conn} }

type guard struct {
	net.Conn
	header  [muxHeader]byte
	have    int    // bytes of header so far
	payload uint32 // bytes of payload still to pass
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.check(p[:n]); bad != nil {
		_ = g.Close()
		return 0, bad
	}
	return n, err
}

func (g *guard) check(p []byte) error {
	for len(p) > 0 {
		if g.payload > 0 {
			n := min(uint64(len(p)), uint64(g.payload))
			g.payload -= uint32(n)
			p = p[n:]
			continue
		}
		n := copy(g.header[g.have:], p)
		g.have += n
		p = p[n:]
		if g.have < muxHeader {
			return nil
		}
		g.have = 0
		if err := g.checkHeader(); err != nil {
			return err
		}
	}
	return nil
}

func (g *guard) checkHeader() error {
	kind, flags := g.header[1], binary.BigEndian.Uint16(g.header[2:])
	length := binary.BigEndian.Uint32(g.header[8:])
	switch {
	case g.header[0] != 0:
		return fmt.Errorf("%w: multiplexer version %d", ErrProtocol, g.header[0])
	case kind > muxTypeGoAway:
		return fmt.Errorf("%w: multiplexer frame type %d", ErrProtocol, kind)
	case kind == muxTypePing && flags&muxFlagSYN != 0:
		return fmt.Errorf("%w: the guest pings", ErrProtocol)
	case kind == muxTypeData && length > muxWindow:
		return fmt.Errorf("%w: multiplexer frame of %d bytes", ErrProtocol, length)
	case kind == muxTypeData:
		g.payload = length
	}
	return nil
}
