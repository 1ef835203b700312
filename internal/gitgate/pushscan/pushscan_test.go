package pushscan

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"go.uber.org/goleak"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sample = "canary+Zx81/9d2f7a"

func newScan(t testing.TB, unpacked int64) *Scan {
	t.Helper()
	scan, err := NewRules().NewScan(canary.NewFinder([]string{sample}), unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return scan
}

func packed(t testing.TB, kind, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "zip":
		return pushscantest.Zip(t, "in", text)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBlob(t *testing.T) {
	t.Parallel()
	scan := newScan(t, 1<<30)
	secret := pushscantest.Token()
	generic := "api_key = \"" + strings.ToLower(base64.RawURLEncoding.EncodeToString([]byte(secret))[:32]) + "\""
	nested := packed(t, "zip", packed(t, "gzip", packed(t, "zip", secret)))
	// The whole is written as two references then, not as letters.
	halves := strings.Repeat(secret[:20]+"\n"+secret[20:]+"\n", 2)
	encrypted := []byte(packed(t, "zip", secret))
	encrypted[6] |= 1
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	for _, test := range []struct{ name, data, want string }{
		{"nothing", "hello", "<nil> <nil>"},
		{"empty", "", "<nil> <nil>"},
		{"clear", "a\nb " + secret, "&{github-pat 2 f } <nil>"},
		{"allow comment", secret + " # gitleaks:allow", "&{github-pat 1 f } <nil>"},
		{"general key", generic, "&{generic-api-key 1 f } <nil>"},
		{"general key beside words that gitleaks lets pass", generic + " --mount=type=secret,", "&{generic-api-key 1 f } <nil>"},
		{"percent", "x=" + percent(secret), "&{github-pat 1 f } <nil>"},
		{"hex of base64", hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("t = " + secret)))), "&{github-pat 1 f } <nil>"},
		{"base64 of base64 of base64", in64(in64(in64("t = " + secret))), "&{github-pat 1 f } <nil>"},
		{"gzip", packed(t, "gzip", secret), "&{github-pat 1 f! } <nil>"},
		{"xz", packed(t, "xz", halves+secret), "&{github-pat 5 f! } <nil>"},
		{"zstd", packed(t, "zstd", halves+secret), "&{github-pat 5 f! } <nil>"},
		{"three deep", nested, "&{github-pat 1 f!in!!in } <nil>"},
		{"too deep", packed(t, "gzip", packed(t, "gzip", nested)), "<nil> it cannot be looked into: archives inside archives, deeper than 3"},
		{"encrypted", string(encrypted), "<nil> it cannot be looked into: an encrypted archive"},
		{"cut off", packed(t, "gzip", strings.Repeat(secret, 9))[:30], "<nil> it cannot be looked into: unexpected EOF"},
		{"rar", "Rar!\x1a\x07\x01\x00", "<nil> it cannot be looked into: an archive of a kind that is not supported"},
		{"among noise", "\x00\x01\n\x02\xff" + secret + "\xfe\x00", "&{github-pat 2 f } <nil>"},
	} {
		found, err := scan.Blob(t.Context(), "f", []byte(test.data))
		if got := fmt.Sprint(found, " ", err); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if _, err := newScan(t, 1000).Blob(t.Context(), "f", []byte(packed(t, "gzip", strings.Repeat("a", 2000)))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a bomb: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := scan.Blob(ctx, "f", []byte("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan without time: %v", err)
	}
}

func in64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func percent(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// A canary is found before gitleaks is asked, in every spelling, with its line.
func TestCanaries(t *testing.T) {
	t.Parallel()
	scan := newScan(t, 0)
	for _, text := range canary.Spellings(sample) {
		found, err := scan.Text(t.Context(), "f", []byte("one\ntwo "+text+"\n"))
		if err != nil || found == nil || *found != (Finding{CanaryRule, 2, "f", canary.Fingerprint(sample)}) {
			t.Errorf("%s: %+v, %v", text, found, err)
		}
	}
	for before := range 6 {
		for after := range 3 {
			text := []byte(strings.Repeat("?", before) + sample + strings.Repeat("~", after))
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
				if found, err := scan.Text(t.Context(), "f", []byte(encoding.EncodeToString(text))); found == nil || err != nil {
					t.Errorf("not found in base64 with %d before and %d after", before, after)
				}
			}
		}
	}
	for _, text := range []string{"", "canary", "Y2FuYXJ5", "?????????????", percent("canary+Zx81")} {
		if found, err := scan.Text(t.Context(), "f", []byte(text)); found != nil || err != nil {
			t.Errorf("found in %q", text)
		}
	}
}

// A secret is found wherever it lies, also across the borders of chunks and inside one
// long encoded run.
func TestNoBorderHidesASecret(t *testing.T) {
	t.Parallel()
	scan := newScan(t, 0)
	secret := pushscantest.Token()
	fillers := []string{"x y\n", "x y ", "    "} // lines, one line, and nothing
	for i, at := range []int{chunkSize - overlap - 20, chunkSize - overlap, chunkSize - 44, chunkSize - 20, chunkSize - 1, chunkSize, 2*chunkSize - overlap - 30, 2*chunkSize - 20} {
		// Every border is tried in one line, and with one of the others: a scan takes a second.
		for _, filler := range []string{fillers[1], fillers[2*(i%2)]} {
			data := []byte(strings.Repeat(filler, (at+chunkSize)/len(filler)))
			copy(data[at:], " "+secret+" ")
			if found, err := scan.Text(t.Context(), "f", data); found == nil || err != nil {
				t.Errorf("%q at %d: %v, %v", filler, at, found, err)
			}
		}
		plain := []byte(strings.Repeat("just some words. ", (at+chunkSize)/24))
		copy(plain[at*3/4:], " "+secret+" ")
		if found, err := scan.Text(t.Context(), "f", []byte(base64.StdEncoding.EncodeToString(plain))); found == nil || err != nil {
			t.Errorf("in base64 at %d: %v, %v", at, found, err)
		}
	}
}

// FuzzBlob: whatever is pushed, the scan ends, and its bounds hold.
func FuzzBlob(f *testing.F) {
	for _, kind := range []string{"gzip", "xz", "zstd", "zip"} {
		f.Add([]byte(packed(f, kind, "hello")))
	}
	f.Add([]byte("plain\x00text"))
	rules := NewRules()
	f.Fuzz(func(t *testing.T, data []byte) {
		scan, err := rules.NewScan(nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = scan.Blob(t.Context(), "f", data)
		if err != nil && !errors.Is(err, ErrOpaque) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("an unclassified error: %v", err)
		}
	})
}
