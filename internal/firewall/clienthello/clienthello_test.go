package clienthello_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"bottle.internal/internal/firewall/clienthello"
)

// builder writes hellos, right and wrong.
type builder struct {
	session, ciphers, compression []byte
	extensions                    []byte
	bare                          bool // no extension block at all
}

func ext(kind uint16, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), vec16(data)...)
}

func vec16(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

func serverName(entries ...[]byte) []byte { return ext(0, vec16(slices.Concat(entries...))) }

func entry(name string) []byte { return append([]byte{0}, vec16([]byte(name))...) }

func (b builder) body() []byte {
	if b.ciphers == nil {
		b.ciphers = []byte{0x13, 0x01}
	}
	if b.compression == nil {
		b.compression = []byte{0}
	}
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(append(body, byte(len(b.session))), b.session...)
	body = append(body, vec16(b.ciphers)...)
	body = append(append(body, byte(len(b.compression))), b.compression...)
	if b.bare {
		return body
	}
	return append(body, vec16(b.extensions)...)
}

func message(body []byte) []byte {
	n := len(body)
	return append([]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

func record(payload []byte) []byte { return append([]byte{22, 3, 1}, vec16(payload)...) }

// fragments cuts a message into records of n bytes.
func fragments(message []byte, n int) []byte {
	var out []byte
	for piece := range slices.Chunk(message, n) {
		out = append(out, record(piece)...)
	}
	return out
}

func TestReadNames(t *testing.T) {
	t.Parallel()
	named := message(builder{extensions: slices.Concat(ext(10, []byte{0, 2, 0, 29}), serverName(entry("a.test")))}.body())
	for name, test := range map[string]struct {
		raw       []byte
		want      string
		encrypted bool
	}{
		"one record":         {record(named), "a.test", false},
		"records of 7 bytes": {fragments(named, 7), "a.test", false},
		"no name":            {record(message(builder{}.body())), "", false},
		"no extensions":      {record(message(builder{bare: true}.body())), "", false},
		"encrypted":          {record(message(builder{extensions: slices.Concat(ext(0xfe0d, nil), serverName(entry("a.test")))}.body())), "a.test", true},
	} {
		rest := []byte("early data that belongs to the tunnel")
		stream := bytes.NewReader(slices.Concat(test.raw, rest))
		hello, err := clienthello.Read(iotest.OneByteReader(stream))
		if err != nil || hello.ServerName != test.want || hello.Encrypted != test.encrypted {
			t.Errorf("%s: %q, encrypted %v, %v", name, hello.ServerName, hello.Encrypted, err)
		}
		if !bytes.Equal(hello.Raw, test.raw) {
			t.Errorf("%s: raw is not what was sent", name)
		}
		if left, _ := io.ReadAll(stream); !bytes.Equal(left, rest) {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	good := builder{extensions: serverName(entry("a.test"))}
	named := message(good.body())
	wrap := func(extensions []byte) []byte { return record(message(builder{extensions: extensions}.body())) }
	cut := func(change func(*builder)) []byte {
		b := good
		change(&b)
		return record(message(b.body()))
	}
	huge := message(builder{extensions: ext(21, make([]byte, 17<<10))}.body())
	for name, test := range map[string]struct {
		raw  []byte
		want clienthello.Problem
	}{
		"nothing":              {nil, clienthello.CutShort},
		"plain http":           {[]byte("GET / HTTP/1.1\r\n\r\n"), clienthello.NotTLS},
		"ssh":                  {[]byte("SSH-2.0-OpenSSH\r\n"), clienthello.NotTLS},
		"sslv2 hello":          {[]byte{0x80, 0x2e, 1, 3, 1, 0, 0}, clienthello.NotTLS},
		"application data":     {append([]byte{23, 3, 3}, vec16([]byte("x"))...), clienthello.NotTLS},
		"another version":      {append([]byte{22, 2, 0}, vec16(named)...), clienthello.NotTLS},
		"cut in the header":    {record(named)[:3], clienthello.CutShort},
		"cut in the payload":   {record(named)[:20], clienthello.CutShort},
		"empty record":         {record(nil), clienthello.Malformed},
		"record too long":      {append([]byte{22, 3, 1, 0x40, 0x01}, make([]byte, 0x4001)...), clienthello.Malformed},
		"alert between":        {slices.Concat(record(named[:9]), []byte{21, 3, 1, 0, 2, 1, 0}), clienthello.Malformed},
		"server hello":         {record(append([]byte{2}, named[1:]...)), clienthello.Malformed},
		"more in the record":   {record(append(slices.Clone(named), 0)), clienthello.Trailing},
		"two hellos":           {record(append(slices.Clone(named), named...)), clienthello.Trailing},
		"length of 16 MiB":     {record([]byte{1, 0xff, 0xff, 0xff}), clienthello.TooLong},
		"17 KiB":               {fragments(huge, 1<<14), clienthello.TooLong},
		"records of one byte":  {fragments(message(builder{extensions: ext(21, make([]byte, 99))}.body()), 1), clienthello.TooMany},
		"short body":           {record(message([]byte{3, 3, 0})), clienthello.Malformed},
		"session of 33":        {cut(func(b *builder) { b.session = make([]byte, 33) }), clienthello.Malformed},
		"no cipher":            {cut(func(b *builder) { b.ciphers = []byte{} }), clienthello.Malformed},
		"odd ciphers":          {cut(func(b *builder) { b.ciphers = []byte{1, 2, 3} }), clienthello.Malformed},
		"no compression":       {cut(func(b *builder) { b.compression = []byte{} }), clienthello.Malformed},
		"bytes after the end":  {record(message(append(good.body(), 0))), clienthello.Malformed},
		"extension cut":        {wrap([]byte{0, 0, 0, 9, 1}), clienthello.Malformed},
		"half an extension":    {wrap([]byte{0}), clienthello.Malformed},
		"same extension twice": {wrap(slices.Concat(ext(5, nil), ext(5, nil))), clienthello.TwoSame},
		"two name extensions":  {wrap(slices.Concat(serverName(entry("a.test")), serverName(entry("b.test")))), clienthello.TwoSame},
		"two names":            {wrap(serverName(entry("a.test"), entry("b.test"))), clienthello.TwoNames},
		"empty name":           {wrap(serverName(entry(""))), clienthello.Malformed},
		"empty list":           {wrap(serverName()), clienthello.Malformed},
		"another kind of name": {wrap(serverName(append([]byte{1}, vec16([]byte("a.test"))...))), clienthello.Malformed},
		"bytes after the list": {wrap(ext(0, append(vec16(entry("a.test")), 0))), clienthello.Malformed},
		"name cut":             {wrap(ext(0, vec16([]byte{0, 0, 9, 'a'}))), clienthello.Malformed},
	} {
		if hello, err := clienthello.Read(bytes.NewReader(test.raw)); err != test.want {
			t.Errorf("%s: %q, %v; want %v", name, hello.ServerName, err, test.want)
		}
	}
}

func TestReadPassesOnErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken wire")
	_, err := clienthello.Read(io.MultiReader(strings.NewReader("\x16\x03"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || err.Error() != "reading the client hello: broken wire" {
		t.Errorf("err = %v", err)
	}
}

// A real client, whole and with a name of full length.
func TestReadRealHello(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.test", strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".test"} {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = tls.Client(client, &tls.Config{ServerName: name, NextProtos: []string{"h2"}}).HandshakeContext(t.Context())
		}()
		hello, err := clienthello.Read(server)
		if err != nil || hello.ServerName != name || hello.Encrypted {
			t.Errorf("%q, %v, %v", hello.ServerName, hello.Encrypted, err)
		}
		_ = server.Close()
		<-done
		_ = client.Close()
	}
}

var errSeen = errors.New("hello seen")

// wire feeds bytes to a TLS server and swallows its answer.
type wire struct{ io.Reader }

func (wire) Write(p []byte) (int, error)      { return len(p), nil }
func (wire) Close() error                     { return nil }
func (wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (wire) SetDeadline(time.Time) error      { return nil }
func (wire) SetReadDeadline(time.Time) error  { return nil }
func (wire) SetWriteDeadline(time.Time) error { return nil }

// goServerName is what crypto/tls, as the upstream would be, reads from the same bytes.
func goServerName(raw []byte) (name string, ok bool) {
	config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = info.ServerName, true
		return nil, errSeen
	}}
	_ = tls.Server(wire{bytes.NewReader(raw)}, config).Handshake()
	return name, ok
}

// Whatever passes is a prefix of the input, and an upstream that can read it reads the
// same name.
func FuzzRead(f *testing.F) {
	named := message(builder{extensions: serverName(entry("a.test"))}.body())
	f.Add(record(named))
	f.Add(fragments(named, 9))
	f.Add(record(message(builder{extensions: serverName(entry("a.test"), entry("b.test"))}.body())))
	f.Add(record(message(builder{bare: true}.body())))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		hello, err := clienthello.Read(bytes.NewReader(raw))
		if !bytes.HasPrefix(raw, hello.Raw) {
			t.Fatal("raw is no prefix of the input")
		}
		if len(hello.Raw) > 17<<10 {
			t.Fatalf("%d bytes were read", len(hello.Raw))
		}
		if err != nil {
			return
		}
		if name, ok := goServerName(hello.Raw); ok && name != hello.ServerName {
			t.Errorf("read %q, crypto/tls reads %q", hello.ServerName, name)
		}
	})
}
