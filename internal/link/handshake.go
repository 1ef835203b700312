package link

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// The handshake; C and S are fresh 32-byte nonces:
//
//	client: "BTL1" | C
//	server: S | HMAC(key, "bottle gate" | C | S)
//	client: port (u16, big endian) | HMAC(key, "bottle link" | C | S | port), then data
//
// The client speaks first, so that a stranger gets no byte at all; the server proves
// itself first, so that a squatter on its port gets nothing but C.
const (
	magic       = "BTL1"
	gateLabel   = "bottle gate"
	clientLabel = "bottle link"
	nonceSize   = 32

	// HandshakeTimeout bounds the whole handshake, on both sides.
	HandshakeTimeout = 2 * time.Second
)

var (
	// ErrNoKey is returned when a side has no key to prove.
	ErrNoKey = errors.New("no link key")
	// ErrRefused is wrapped when the other side did not prove the key, or asked for a
	// port that is not offered.
	ErrRefused = errors.New("link refused")
)

// Hello proves the key to the gate behind conn and asks for port. On success the next
// byte of conn belongs to the daemon; on an error the caller closes conn.
func Hello(conn net.Conn, key Key, port uint16) error {
	if key.IsZero() {
		return ErrNoKey
	}
	if err := conn.SetDeadline(time.Now().Add(HandshakeTimeout)); err != nil {
		return fmt.Errorf("setting the handshake deadline: %w", err)
	}
	nonceC := newNonce()
	if _, err := conn.Write(slices.Concat([]byte(magic), nonceC)); err != nil {
		return fmt.Errorf("greeting the gate: %w", err)
	}
	var reply [nonceSize + sha256.Size]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return fmt.Errorf("reading the gate's proof: %w", err)
	}
	nonceS := reply[:nonceSize]
	if !hmac.Equal(reply[nonceSize:], proof(key, gateLabel, nonceC, nonceS)) {
		return fmt.Errorf("%w: the gate has another key", ErrRefused)
	}
	wanted := binary.BigEndian.AppendUint16(nil, port)
	if _, err := conn.Write(slices.Concat(wanted, proof(key, clientLabel, nonceC, nonceS, wanted))); err != nil {
		return fmt.Errorf("proving the key to the gate: %w", err)
	}
	return clearDeadline(conn)
}

// Admit is the gate's side of [Hello]. It returns the port that the client asked for,
// which is one of ports; on an error the caller closes conn without a word.
func Admit(conn net.Conn, key Key, ports []uint16) (uint16, error) {
	if key.IsZero() {
		return 0, ErrNoKey
	}
	if err := conn.SetDeadline(time.Now().Add(HandshakeTimeout)); err != nil {
		return 0, fmt.Errorf("setting the handshake deadline: %w", err)
	}
	var greeting [len(magic) + nonceSize]byte
	if _, err := io.ReadFull(conn, greeting[:]); err != nil {
		return 0, fmt.Errorf("reading a greeting: %w", err)
	}
	if string(greeting[:len(magic)]) != magic {
		return 0, fmt.Errorf("%w: no greeting of ours", ErrRefused)
	}
	nonceC, nonceS := greeting[len(magic):], newNonce()
	if _, err := conn.Write(slices.Concat(nonceS, proof(key, gateLabel, nonceC, nonceS))); err != nil {
		return 0, fmt.Errorf("proving the key to a client: %w", err)
	}
	var reply [2 + sha256.Size]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return 0, fmt.Errorf("reading a client's proof: %w", err)
	}
	if !hmac.Equal(reply[2:], proof(key, clientLabel, nonceC, nonceS, reply[:2])) {
		return 0, fmt.Errorf("%w: the client has another key", ErrRefused)
	}
	port := binary.BigEndian.Uint16(reply[:2])
	if !slices.Contains(ports, port) {
		return 0, fmt.Errorf("%w: port %d is not offered", ErrRefused, port)
	}
	return port, clearDeadline(conn)
}

// proof binds a label and the nonces to the key. All parts have fixed lengths, so that
// no two different lists give the same bytes.
func proof(key Key, label string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key.bytes[:])
	mac.Write([]byte(label))
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails: it ends the program instead
	return nonce
}

func clearDeadline(conn net.Conn) error {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clearing the handshake deadline: %w", err)
	}
	return nil
}
