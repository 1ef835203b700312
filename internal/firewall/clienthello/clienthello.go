// Package clienthello reads the first message of a TLS client, without being a
// TLS server.
//
// It reads exactly the records that hold the ClientHello and keeps their bytes, so
// that they can be sent on as they came. The bytes are hostile: lengths, fragments and
// repetitions are bounded, and whatever two parsers could read differently is refused.
package clienthello

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Problem says why a hello is refused; it is an error and a stable text.
type Problem string

// Error implements error.
func (p Problem) Error() string { return string(p) }

// The refusals.
const (
	NotTLS    Problem = "the first bytes are not TLS"
	TooLong   Problem = "the client hello is longer than 16 KiB"
	TooMany   Problem = "the client hello is cut into more than 64 records"
	Malformed Problem = "the client hello is malformed"
	Trailing  Problem = "more data follows the client hello in its record"
	TwoNames  Problem = "the client hello names more than one server"
	TwoSame   Problem = "the client hello repeats an extension"
	CutShort  Problem = "the connection ended before the client hello"
)

const (
	maxHello   = 16 << 10
	maxRecords = 64
	maxRecord  = 1 << 14

	recordHeader    = 5
	messageHeader   = 4
	recordHandshake = 22
	messageHello    = 1

	extServerName = 0
	// extECH hides the real server name behind the visible one (RFC 9849); extESNI and the
	// numbers from firstECH on are what its drafts used.
	extECH   = 0xfe0d
	firstECH = 0xfe08
	extESNI  = 0xffce
)

// Hello is what a client said first.
type Hello struct {
	// ServerName is the host of the SNI extension as sent; empty without one.
	ServerName string
	// Encrypted reports an encrypted client hello, real or grease.
	Encrypted bool
	// Raw is every byte that was read.
	Raw []byte
}

// Read takes one ClientHello from r and not one byte more. Its error is a [Problem],
// or what r failed with. Raw holds what was read in both cases.
func Read(r io.Reader) (Hello, error) {
	var hello Hello
	var message []byte
	for range maxRecords {
		payload, err := readRecord(r, &hello)
		if err != nil {
			return hello, err
		}
		message = append(message, payload...)
		whole, err := isWhole(message)
		if err != nil {
			return hello, err
		}
		if whole {
			err := hello.parse(message[messageHeader:])
			return hello, err
		}
	}
	return hello, TooMany
}

func readRecord(r io.Reader, hello *Hello) ([]byte, error) {
	first := len(hello.Raw) == 0
	header, err := take(r, hello, recordHeader)
	if err != nil {
		return nil, err
	}
	if header[0] != recordHandshake || header[1] != 3 {
		if first {
			return nil, NotTLS
		}
		return nil, Malformed
	}
	length := int(binary.BigEndian.Uint16(header[3:]))
	if length == 0 || length > maxRecord {
		return nil, Malformed
	}
	return take(r, hello, length)
}

func take(r io.Reader, hello *Hello, n int) ([]byte, error) {
	start := len(hello.Raw)
	if start+n > maxHello+maxRecords*recordHeader {
		return nil, TooLong
	}
	piece := make([]byte, n)
	got, err := io.ReadFull(r, piece)
	hello.Raw = append(hello.Raw, piece[:got]...)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, CutShort
	case err != nil:
		return nil, fmt.Errorf("reading the client hello: %w", err)
	}
	return piece, nil
}

func isWhole(message []byte) (bool, error) {
	if message[0] != messageHello {
		return false, Malformed
	}
	if len(message) < messageHeader {
		return false, nil
	}
	want := messageHeader + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
	switch {
	case want > maxHello:
		return false, TooLong
	case len(message) > want:
		return false, Trailing
	}
	return len(message) == want, nil
}

// parse walks RFC 8446, section 4.1.2; every vector must end where it says.
func (h *Hello) parse(body cursor) error {
	session, cipherSuites, compression := cursor(nil), cursor(nil), cursor(nil)
	ok := body.skip(2+32) &&
		body.vector8(&session) && len(session) <= 32 &&
		body.vector16(&cipherSuites) && len(cipherSuites) >= 2 && len(cipherSuites)%2 == 0 &&
		body.vector8(&compression) && len(compression) >= 1
	if !ok {
		return Malformed
	}
	if len(body) == 0 {
		return nil
	}
	extensions := cursor(nil)
	if !body.vector16(&extensions) || len(body) != 0 {
		return Malformed
	}
	return h.parseExtensions(extensions)
}

func (h *Hello) parseExtensions(extensions cursor) error {
	seen := map[uint16]bool{}
	for len(extensions) > 0 {
		kind, data := uint16(0), cursor(nil)
		if !extensions.uint16(&kind) || !extensions.vector16(&data) {
			return Malformed
		}
		if seen[kind] {
			return TwoSame
		}
		seen[kind] = true
		switch {
		case kind == extServerName:
			if err := h.parseServerName(data); err != nil {
				return err
			}
		case kind >= firstECH && kind <= extECH, kind == extESNI:
			h.Encrypted = true
		}
	}
	return nil
}

func (h *Hello) parseServerName(data cursor) error {
	list, name, kind := cursor(nil), cursor(nil), byte(0)
	if !data.vector16(&list) || len(data) != 0 {
		return Malformed
	}
	if !list.uint8(&kind) || kind != 0 || !list.vector16(&name) || len(name) == 0 {
		return Malformed
	}
	if len(list) != 0 {
		return TwoNames
	}
	h.ServerName = string(name)
	return nil
}
