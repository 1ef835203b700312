package clienthello

import (
	"bytes"
	"io"
)

// Answer is the beginning of what a TLS server says first.
type Answer struct {
	// Retry reports a HelloRetryRequest: a second hello will come, in clear again.
	Retry bool
	// Raw is every byte that was read; the record that it ends in may go on.
	Raw []byte
}

const (
	recordAlert    = 21
	messageServer  = 2
	serverHelloTop = messageHeader + 2 + 32 // up to the end of the random
)

// retryRandom marks a HelloRetryRequest (RFC 8446, section 4.1.3).
func retryRandom() []byte {
	return []byte{
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
		0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	}
}

// ReadAnswer takes as much from r as tells a ServerHello from a HelloRetryRequest, or one
// alert record's header. Its error is [NotTLS], [CutShort] or what r failed with; Raw holds
// what was read in every case.
func ReadAnswer(r io.Reader) (Answer, error) {
	var read Hello // for take alone
	var message []byte
	for range maxRecords {
		header, err := take(r, &read, recordHeader)
		if err != nil {
			return Answer{Raw: read.Raw}, err
		}
		length := int(header[3])<<8 | int(header[4])
		switch {
		case header[1] != 3, length == 0, length > maxRecord:
			return Answer{Raw: read.Raw}, NotTLS
		case header[0] == recordAlert && len(message) == 0:
			return Answer{Raw: read.Raw}, nil
		case header[0] != recordHandshake:
			return Answer{Raw: read.Raw}, NotTLS
		}
		piece, err := take(r, &read, min(length, serverHelloTop-len(message)))
		if err != nil {
			return Answer{Raw: read.Raw}, err
		}
		message = append(message, piece...)
		switch {
		case message[0] != messageServer:
			return Answer{Raw: read.Raw}, NotTLS
		case len(message) == serverHelloTop:
			retry := bytes.Equal(message[messageHeader+2:], retryRandom())
			return Answer{Retry: retry, Raw: read.Raw}, nil
		}
	}
	return Answer{Raw: read.Raw}, NotTLS
}

const (
	recordChangeCipher = 20
	recordData         = 23
	// maxSealed is a record with the room that encryption takes.
	maxSealed = maxRecord + 256
)

// ReadRetry takes a second ClientHello from r, and what may stand before it: early data
// that the server is going to skip, and the record that soothes middleboxes. Those are
// handed to pass as they come.
func ReadRetry(r io.Reader, pass func([]byte) error) (Hello, error) {
	for range maxRecords {
		var head Hello // for take alone
		header, err := take(r, &head, recordHeader)
		if err != nil {
			return Hello{}, err
		}
		length := int(header[3])<<8 | int(header[4])
		switch {
		case header[0] == recordHandshake:
			return Read(io.MultiReader(bytes.NewReader(header), r))
		case header[0] != recordChangeCipher && header[0] != recordData, header[1] != 3, length == 0, length > maxSealed:
			return Hello{}, Malformed
		}
		if _, err := take(r, &head, length); err != nil {
			return Hello{}, err
		}
		if err := pass(head.Raw); err != nil {
			return Hello{}, err
		}
	}
	return Hello{}, TooMany
}
