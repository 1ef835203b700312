package clienthello_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"bottle.internal/internal/firewall/clienthello"
)

// serverHello is one with this random and something behind it.
func serverHello(random []byte) []byte {
	body := slices.Concat([]byte{3, 3}, random, make([]byte, 20))
	return slices.Concat([]byte{2, 0, 0, byte(len(body))}, body)
}

func retryRandom(t testing.TB) []byte {
	t.Helper()
	random, err := hex.DecodeString("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
	if err != nil {
		t.Fatal(err)
	}
	return random
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	normal, retry := serverHello(make([]byte, 32)), serverHello(retryRandom(t))
	almost := slices.Clone(retryRandom(t))
	almost[31]++
	for name, test := range map[string]struct {
		raw   []byte
		read  int
		retry bool
		want  error
	}{
		"server hello":          {record(normal), 43, false, nil},
		"retry":                 {record(retry), 43, true, nil},
		"retry in records of 7": {fragments(retry, 7), 6*5 + 38, true, nil},
		"almost a retry":        {record(serverHello(almost)), 43, false, nil},
		"alert":                 {[]byte{21, 3, 1, 0, 2, 2, 40}, 5, false, nil},
		"alert in the middle":   {slices.Concat(record(normal[:9]), []byte{21, 3, 1, 0, 2, 2, 40}), 19, false, clienthello.NotTLS},
		"plain http":            {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 5, false, clienthello.NotTLS},
		"data":                  {[]byte{23, 3, 3, 0, 1, 0}, 5, false, clienthello.NotTLS},
		"client hello":          {record([]byte{1, 0, 0, 1, 0}), 10, false, clienthello.NotTLS},
		"empty record":          {record(nil), 5, false, clienthello.NotTLS},
		"record too long":       {append([]byte{22, 3, 3, 0x40, 0x01}, normal...), 5, false, clienthello.NotTLS},
		"nothing":               {nil, 0, false, clienthello.CutShort},
		"cut":                   {record(normal)[:20], 20, false, clienthello.CutShort},
	} {
		answer, err := clienthello.ReadAnswer(iotest.OneByteReader(bytes.NewReader(test.raw)))
		if !errors.Is(err, test.want) || (test.want == nil) != (err == nil) || answer.Retry != test.retry {
			t.Errorf("%s: retry %v, %v; want %v", name, answer.Retry, err, test.want)
		}
		if !bytes.Equal(answer.Raw, test.raw[:test.read]) {
			t.Errorf("%s: read %d bytes, want %d", name, len(answer.Raw), test.read)
		}
	}
}

func TestReadRetry(t *testing.T) {
	t.Parallel()
	hello := record(message(builder{extensions: serverName(entry("a.test"))}.body()))
	early := []byte{23, 3, 3, 0, 2, 'x', 'y'}
	soothe := []byte{20, 3, 3, 0, 1, 1}
	for name, test := range map[string]struct {
		raw    []byte
		passed int
		want   error
	}{
		"a hello":               {hello, 0, nil},
		"behind other records":  {slices.Concat(early, soothe, early, hello), 20, nil},
		"an alert":              {[]byte{21, 3, 3, 0, 2, 1, 0}, 0, clienthello.Malformed},
		"an empty record":       {[]byte{23, 3, 3, 0, 0}, 0, clienthello.Malformed},
		"plain text":            {[]byte("GET / HTTP/1.1\r\n"), 0, clienthello.Malformed},
		"a record too long":     {[]byte{23, 3, 3, 0x41, 0x01}, 0, clienthello.Malformed},
		"data without an end":   {bytes.Repeat(early, 65), 64 * 7, clienthello.TooMany},
		"an end":                {early, 7, clienthello.CutShort},
		"a hello that is wrong": {record([]byte{2, 0, 0, 1, 0}), 0, clienthello.Malformed},
	} {
		var passed []byte
		got, err := clienthello.ReadRetry(bytes.NewReader(test.raw), func(data []byte) error {
			passed = append(passed, data...)
			return nil
		})
		if !errors.Is(err, test.want) || (test.want == nil) != (err == nil) || len(passed) != test.passed {
			t.Errorf("%s: %v, %d bytes passed; want %v, %d", name, err, len(passed), test.want, test.passed)
		}
		if err == nil && (got.ServerName != "a.test" || !bytes.Equal(got.Raw, hello)) {
			t.Errorf("%s: %q", name, got.ServerName)
		}
	}
}

// The drafts of ECH and its forerunner hide a name as well; GREASE hides nothing.
func TestReadEncrypted(t *testing.T) {
	t.Parallel()
	for kind, want := range map[uint16]bool{
		0xfe0d: true, 0xfe0c: true, 0xfe08: true, 0xffce: true, 0x0a0a: false, 0xfafa: false, 0x002a: false, 0xfe07: false, 0xfe0e: false,
	} {
		raw := record(message(builder{extensions: slices.Concat(ext(kind, []byte{0}), serverName(entry("a.test")))}.body()))
		if hello, err := clienthello.Read(bytes.NewReader(raw)); err != nil || hello.Encrypted != want {
			t.Errorf("%#x: %v, %v", kind, hello.Encrypted, err)
		}
	}
}

// A resumed handshake with a ticket is a hello like any other.
func TestReadResumedHello(t *testing.T) {
	t.Parallel()
	raw := record(message(builder{extensions: slices.Concat(
		serverName(entry("a.test")), ext(42, nil), ext(45, []byte{1, 1}), ext(41, make([]byte, 300)),
	)}.body()))
	early := []byte{23, 3, 3, 0, 1, 'x'}
	stream := bytes.NewReader(slices.Concat(raw, early))
	if hello, err := clienthello.Read(stream); err != nil || hello.ServerName != "a.test" {
		t.Errorf("%q, %v", hello.ServerName, err)
	}
	if rest, _ := io.ReadAll(stream); !bytes.Equal(rest, early) {
		t.Errorf("early data: %x", rest)
	}
}

// Whatever a server says: what is read is a prefix of it, and a retry bears its mark.
func FuzzReadAnswer(f *testing.F) {
	f.Add(record(serverHello(make([]byte, 32))))
	f.Add(fragments(serverHello(retryRandom(f)), 5))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer, err := clienthello.ReadAnswer(bytes.NewReader(raw))
		if !bytes.HasPrefix(raw, answer.Raw) || err == nil && len(answer.Raw) == 0 {
			t.Fatal("raw is no prefix of the input")
		}
		if answer.Retry && !bytes.Contains(raw, []byte{0x9c}) {
			t.Error("a retry without its mark")
		}
	})
}

// What passes is a hello or comes before one, and nothing is lost.
func FuzzReadRetry(f *testing.F) {
	hello := record(message(builder{extensions: serverName(entry("a.test"))}.body()))
	f.Add(hello)
	f.Add(slices.Concat([]byte{20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 0}, hello))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var passed []byte
		got, err := clienthello.ReadRetry(bytes.NewReader(raw), func(data []byte) error {
			passed = append(passed, data...)
			return nil
		})
		if err != nil {
			return
		}
		if !bytes.HasPrefix(raw, slices.Concat(passed, got.Raw)) {
			t.Fatal("bytes were lost or moved")
		}
		if name, ok := goServerName(got.Raw); ok && name != got.ServerName {
			t.Errorf("read %q, crypto/tls reads %q", got.ServerName, name)
		}
	})
}
