package needle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"bottle.internal/internal/needle"
)

func TestScan(t *testing.T) {
	t.Parallel()
	set := needle.NewSet(map[int][]string{1: {"abcd", "bcx"}, 2: {"abcabd"}, 3: {"cab"}})
	for text, want := range map[string]int{
		"": 0, "abc": 0, "xxabcd": 1, "abcx": 1, "abcabd": 3, "aabcabd": 3, "ababcd": 1, "bcbcx": 1, "ca b": 0,
	} {
		id, found := set.Find(text)
		if found != (want != 0) || id != want {
			t.Errorf("%q: %d, %v", text, id, found)
		}
		scanner := needle.Scanner{Set: set}
		found = false
		for i := range len(text) {
			_, hit := scanner.Scan([]byte{text[i]})
			found = found || hit
		}
		if found != (want != 0) {
			t.Errorf("%q byte by byte: %v", text, found)
		}
	}
	if !needle.NewSet(nil).Empty() || !needle.NewSet(map[int][]string{0: {""}}).Empty() || set.Empty() {
		t.Error("Empty is wrong")
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"12345678", "bottle-placeholder", "a/b+c=d e%f&<x>-_.~\"'", "sk-ant-0123456789abcdefghijklmnop"} {
		set := needle.NewSet(map[int][]string{7: needle.Spellings(secret)})
		quoted, _ := json.Marshal(secret)
		reverse := []byte(secret)
		slices.Reverse(reverse)
		for name, text := range map[string]string{
			"raw":        "<<" + secret + ">>",
			"basic auth": base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
			"base64":     base64.StdEncoding.EncodeToString([]byte(secret)),
			"base64 +1":  base64.StdEncoding.EncodeToString([]byte("x" + secret + "yz")),
			"base64 +2":  base64.StdEncoding.EncodeToString([]byte("xy" + secret)),
			"base64url":  base64.RawURLEncoding.EncodeToString([]byte("\xff\xfe\xfd" + secret)),
			"hex":        hex.EncodeToString([]byte("é" + secret)),
			"HEX":        strings.ToUpper(hex.EncodeToString([]byte(secret))),
			"query":      url.QueryEscape(secret),
			"path":       url.PathEscape(secret),
			"query %2f":  strings.ToLower(url.QueryEscape(strings.ToLower(secret))),
			"escaped":    regexp.MustCompile("..").ReplaceAllString(strings.ToUpper(hex.EncodeToString([]byte(secret))), "%$0"),
			"%xx":        regexp.MustCompile("..").ReplaceAllString(hex.EncodeToString([]byte(secret)), "%$0"),
			"JSON":       string(quoted),
			`JSON \/`:    strings.ReplaceAll(secret, "/", `\/`),
			"backwards":  string(reverse),
		} {
			if name == "query %2f" && secret != strings.ToLower(secret) {
				continue
			}
			if id, found := set.Find(text); !found || id != 7 {
				t.Errorf("%s of %q is not found: %s", name, secret, text)
			}
			if redacted := set.Redact(text); redacted == text || len(redacted) != len(text) {
				t.Errorf("%s of %q: %s", name, secret, redacted)
			}
		}
		if _, found := set.Find("an ordinary text, 1234567 and bottle-place, sk-ant-01234"); found {
			t.Errorf("%q is found in an ordinary text", secret)
		}
	}
	if needle.Spellings("") != nil {
		t.Error("the empty secret has spellings")
	}
}

// What may be the beginning of a needle is held back, nothing else.
func TestReaderHoldsBackLittle(t *testing.T) {
	t.Parallel()
	set := needle.NewSet(map[int][]string{0: {"secret-token"}})
	in, feed := io.Pipe()
	reader := needle.NewReader(in, set)
	buffer := make([]byte, 64)
	for _, step := range []struct{ write, read string }{
		{"data: 1\n\n", "data: 1\n\n"},
		{"abc secret-", "abc "},
		{"tok", ""},
		{"en!", "[redacted]**!"},
		{"ends in sec", "ends in "},
		{"ond", "second"},
	} {
		done := make(chan string)
		go func() {
			if step.read == "" {
				done <- ""
				return
			}
			n, err := io.ReadAtLeast(reader, buffer, len(step.read))
			if err != nil {
				t.Error(err)
			}
			done <- string(buffer[:n])
		}()
		if step.read == "" {
			<-done
			continue
		}
		write := step.write
		if step.write == "en!" {
			write = "token"[0:3] + "en!"
		}
		_, _ = io.WriteString(feed, write)
		if got := <-done; got != step.read {
			t.Fatalf("after %q: %q, want %q", step.write, got, step.read)
		}
	}
	go func() {
		_, _ = io.WriteString(feed, "the end is secret-toke")
		_ = feed.Close()
	}()
	rest, err := io.ReadAll(reader)
	if string(rest) != "the end is secret-toke" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestReaderSmallBuffers(t *testing.T) {
	t.Parallel()
	set := needle.NewSet(map[int][]string{0: {strings.Repeat("k", 100)}})
	text := strings.Repeat("k", 99) + "x" + strings.Repeat("k", 100) + "kk"
	reader := needle.NewReader(iotest.OneByteReader(strings.NewReader(text)), set)
	got, err := io.ReadAll(iotest.OneByteReader(reader))
	want := strings.Repeat("k", 99) + "x[redacted]" + strings.Repeat("*", 90) + "kk"
	if string(got) != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Whatever the pieces are: no needle leaves, nothing else changes, and the length stays.
func FuzzReader(f *testing.F) {
	f.Add("secret-token", "other-one", []byte("a secret-token and an other-one"), uint8(3))
	f.Add("aaaaaaaa", "aaaaaaaab", []byte("aaaaaaaaaaaaaaaab"), uint8(1))
	f.Add("abcabcab", "cabcabca", []byte("abcabcabcabcabca"), uint8(7))
	f.Add("12345678", "56789012", []byte("123456789012"), uint8(0))
	f.Fuzz(func(t *testing.T, a, b string, text []byte, size uint8) {
		for _, one := range []string{a, b} {
			if len(one) < needle.MinLength || strings.ContainsAny(one, "[]*") || strings.Contains("[redacted]", one) {
				return
			}
		}
		set := needle.NewSet(map[int][]string{0: {a}, 1: {b}})
		reader := needle.NewReader(&pieces{text, int(size)}, set)
		got, err := io.ReadAll(reader)
		if err != nil || len(got) != len(text) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(text), err)
		}
		has := bytes.Contains(text, []byte(a)) || bytes.Contains(text, []byte(b))
		if bytes.Contains(got, []byte(a)) || bytes.Contains(got, []byte(b)) {
			t.Errorf("%q leaves in %q", []string{a, b}, got)
		}
		if !has && !bytes.Equal(got, text) {
			t.Errorf("%q became %q", text, got)
		}
		if has == bytes.Equal(got, text) {
			t.Errorf("%q is unchanged", text)
		}
		if whole := set.Redact(string(text)); whole != string(got) {
			t.Errorf("at once %q, in pieces %q", whole, got)
		}
	})
}

// A scanner finds exactly what a search finds, whatever the pieces are.
func FuzzScan(f *testing.F) {
	f.Add("needle-1", []byte("a needle-1"), uint8(2))
	f.Add("abababab", []byte("aababababab"), uint8(1))
	f.Fuzz(func(t *testing.T, one string, text []byte, size uint8) {
		if one == "" {
			return
		}
		scanner := needle.Scanner{Set: needle.NewSet(map[int][]string{0: {one}})}
		source, found := &pieces{text, int(size)}, false
		buffer := make([]byte, 512)
		for {
			n, err := source.Read(buffer)
			_, hit := scanner.Scan(buffer[:n])
			found = found || hit
			if err != nil {
				break
			}
		}
		if found != bytes.Contains(text, []byte(one)) {
			t.Errorf("%q in %q: %v", one, text, found)
		}
	})
}

// pieces delivers at most size+1 bytes at a time.
type pieces struct {
	data []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size+1)], p.data)
	p.data = p.data[n:]
	return n, nil
}

func BenchmarkScan(b *testing.B) {
	set := needle.NewSet(map[int][]string{0: needle.Spellings("bottle-placeholder"), 1: needle.Spellings("canary-0123456789")})
	text := []byte(strings.Repeat(`{"role":"user","content":"an ordinary text of a prompt, with code"},`, 500))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		scanner := needle.Scanner{Set: set}
		if _, found := scanner.Scan(text); found {
			b.Fatal("found")
		}
	}
}
