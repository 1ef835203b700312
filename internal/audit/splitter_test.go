package audit_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/secret"
)

// lines closes a log and returns what it holds beside its own records.
func lines(t *testing.T, log *audit.Log, path string) []string {
	t.Helper()
	must(t, log.Close())
	var got []string
	_, err := audit.Scan(strings.NewReader(readAll(t, path)), audit.Expect{Key: testKey(1).Public(), Head: log.Head().Hash}, func(l audit.Line) error {
		if l.Source != "audit" {
			got = append(got, fmt.Sprintf("%s %s %s", l.Source, l.Event, l.Fields))
		}
		return nil
	})
	must(t, err)
	return got
}

func TestBundleLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"JSON", `firewall| {"event":"allow","host":"a.test","n":1.50}` + "\n", `firewall allow {"event":"allow","host":"a.test","n":1.50}`},
		{"text", "init| starting egress\n", `init text {"text":"starting egress"}`},
		{"JSON without an event", `egress| {"a":null}` + "\n", `egress line {"a":null}`},
		{"an event that is no name", `egress| {"event":"two words"}` + "\n", `egress line {"event":"two words"}`},
		{"an event that is no text", `egress| {"event":7}` + "\n", `egress line {"event":7}`},
		{"no object", "egress| [1]\n", `egress text {"text":"[1]"}`},
		{"two objects", "egress| {} {}\n", `egress text {"text":"{} {}"}`},
		{"null", "egress| null\n", `egress text {"text":"null"}`},
		{"without a prefix", "panic: x\n", `init text {"text":"panic: x"}`},
		{"a line cannot choose its source", `egress| firewall| {"event":"allow"}` + "\n", `egress text {"text":"firewall| {\"event\":\"allow\"}"}`},
		{"nor be the host", `host| {"event":"approve"}` + "\n", `init text {"text":"host| {\"event\":\"approve\"}"}`},
		{"nor be the log", `audit| {"event":"head"}` + "\n", `init text {"text":"audit| {\"event\":\"head\"}"}`},
		{"a head of a daemon is nothing", `egress| {"event":"head"}` + "\n", `egress head {"event":"head"}`},
		{"a carriage return is no end", "egress| a\rfirewall| b\n", `egress text {"text":"a\\rfirewall| b"}`},
		{"terminal sequences", "egress| \x1b[2J\xff\u202e\n", `egress text {"text":"\\x1b[2J\\xff\\u202e"}`},
		{"the same in JSON", `egress| {"event":"x","k\u001b":["\u001b\u202e"]}` + "\n", `egress x {"event":"x","k\\x1b":["\\x1b\\u202e"]}`},
		{"an empty line", "\n\negress| x\n", `egress text {"text":"x"}`},
		{"no end", "egress| x", `egress text {"text":"x"}`},
		{"too deep", "egress| " + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + "\n", `egress text {"text":"` + strings.ReplaceAll(strings.Repeat(`{"a":`, 40), `"`, `\"`) + "1" + strings.Repeat("}", 40) + `"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for size := range 3 { // in one piece, byte by byte, two by two
				log, path := open(t)
				stream := log.Bundle()
				for rest := test.in; rest != ""; {
					n := len(rest)
					if size > 0 {
						n = min(n, size)
					}
					_, err := stream.Write([]byte(rest[:n]))
					must(t, err)
					rest = rest[n:]
				}
				must(t, stream.Close())
				if got := strings.Join(lines(t, log, path), "\n"); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			}
		})
	}
}

// Halves of lines of two streams never meet.
func TestStreamsDoNotMix(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	a, b := log.Bundle(), log.Bundle()
	for _, step := range []struct {
		to   interface{ Write([]byte) (int, error) }
		text string
	}{{a, "firewall| {\"event\""}, {b, "egress| {\"event\""}, {a, ":\"allow\"}\n"}, {b, ":\"deny\"}\n"}} {
		_, err := step.to.Write([]byte(step.text))
		must(t, err)
	}
	must(t, a.Close())
	must(t, b.Close())
	want := `firewall allow {"event":"allow"}` + "\n" + `egress deny {"event":"deny"}`
	if got := strings.Join(lines(t, log, path), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	stream := log.Bundle()
	for _, in := range []string{
		"egress| " + strings.Repeat("x", 1<<20) + "\n",                                  // never whole in memory
		`egress| {"event":"allow","text":"` + strings.Repeat("y", 40<<10) + `"}` + "\n", // its end is gone
		"egress| " + strings.Repeat("z", 5000) + "\n",
		`egress| {"event":"allow","text":"` + strings.Repeat(`\u0001`, 5000) + `"}` + "\n", // grows
		`egress| {"event":"allow","text":"` + strings.Repeat(`\u0007\"`, 3600) + `"}` + "\n",
		"egress| after\n",
		`egress| {"event":"allow"}` + strings.Repeat(" ", 32<<10) + "x\n", // its beginning alone would be JSON
	} {
		for _, part := range []string{in[:len(in)-1], "\n"} {
			_, err := stream.Write([]byte(part))
			must(t, err)
			if n := audit.Buffered(stream); n > 32<<10 {
				t.Errorf("%d bytes are kept", n)
			}
		}
	}
	got := lines(t, log, path)
	if len(got) != 7 || !strings.HasPrefix(got[6], "egress text ") {
		t.Fatalf("%d lines, the last %.200s", len(got), got[len(got)-1])
	}
	if got[5] != `egress text {"text":"after"}` {
		t.Fatalf("%d lines, the last %.200s", len(got), got[len(got)-1])
	}
	for i, want := range []string{
		`egress text {"text":"xxxx`, `egress text {"text":"{\"event\":\"allow\",\"text\":\"yyyy`, `egress text {"text":"zzzz`,
		`egress allow {"event":"allow","text":"\\x01\\x01`, `egress allow {"event":"allow","text":"\\x07\"\\x07\"`,
	} {
		truncated := strings.HasSuffix(got[i], `","truncated":true}`)
		if !strings.HasPrefix(got[i], want) || len(got[i]) > 33<<10 || truncated != (i < 3) {
			t.Errorf("line %d: %d bytes, truncated: %v, %.80s", i, len(got[i]), truncated, got[i])
		}
	}
	log2, path2 := open(t)
	must(t, log2.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x", Fields: map[string]string{"a": strings.Repeat("x", 64<<10)}}))
	if got := lines(t, log2, path2); len(got) != 1 || !strings.HasPrefix(got[0], `host x {"text":"{\"a\":\"xxx`) || !strings.HasSuffix(got[0], `xxx","truncated":true}`) {
		t.Errorf("got %.100s", got)
	}
}

// Invariant 1: no real credential in the audit log, however a daemon spells it.
func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	const token, digits = `sk-ant/a"b\c+d~very=secret`, "48151623425555"
	const pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBsomethingprivate\n-----END EC PRIVATE KEY-----\n"
	quoted, err := json.Marshal(token)
	must(t, err)
	std, safe := base64.StdEncoding, base64.URLEncoding
	for _, spelled := range []string{
		token, string(quoted), url.QueryEscape(token), url.PathEscape(token), strings.ToLower(url.QueryEscape(token)),
		"?q=" + url.QueryEscape(token) + "&x", hex.EncodeToString([]byte(token)), strings.ToUpper(hex.EncodeToString([]byte(token))),
		std.EncodeToString([]byte(token)), std.EncodeToString([]byte("u:" + token)), std.EncodeToString([]byte("user:" + token + "\n")), std.EncodeToString([]byte("me:" + token + "zz")),
		safe.EncodeToString([]byte(token)), safe.EncodeToString([]byte("x" + token + "yz")), safe.EncodeToString([]byte("xy" + token + "z")),
		digits, "MHcCAQEEIBsomethingprivate",
	} {
		log, path := open(t)
		log.Hide(secret.New(token), secret.Value{}, secret.New("abc"))
		log.Hide(secret.New(digits), secret.New(pem)) // later ones come on top
		stream := log.Bundle()
		field, err := json.Marshal(map[string]any{"event": "x", "deep": []any{map[string]string{"k": "a " + spelled + " b"}}, "k" + spelled: 1})
		must(t, err)
		_, err = fmt.Fprintf(stream, "egress| a %s b abc\negress| %s\negress| {\"n\":%s,\"f\":-1%s.5}\n", spelled, field, digits, digits)
		must(t, err)
		must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x", Fields: map[string]string{"v": spelled}}))
		got := strings.Join(lines(t, log, path), "\n")
		for _, part := range []string{spelled, token, digits, "very=secret", "very%3Dsecret", "something", base64Part("very=se"), hex.EncodeToString([]byte("very"))} {
			if strings.Contains(strings.ToLower(got), strings.ToLower(part)) {
				t.Errorf("%q spelled as %q shows %q:\n%s", token, spelled, part, got)
			}
		}
		if strings.Count(got, secret.Redacted) < 6 || !strings.Contains(got, "b abc") {
			t.Errorf("%q: too much or too little was hidden:\n%s", spelled, got)
		}
	}
}

func base64Part(text string) string { return base64.RawStdEncoding.EncodeToString([]byte(text))[:8] }

// A secret may begin with another one.
func TestTheLongerSecretIsHiddenFirst(t *testing.T) {
	t.Parallel()
	log, path := open(t)
	log.Hide(secret.New("abcd1234"), secret.New("abcd1234efgh"))
	must(t, log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "x", Fields: map[string]string{"v": "abcd1234efgh abcd1234"}}))
	if got := lines(t, log, path); got[0] != `host x {"v":"[redacted] [redacted]"}` {
		t.Errorf("got %s", got)
	}
}

// A token that is fetched again and again is one secret.
func TestASecretIsHiddenOnce(t *testing.T) {
	t.Parallel()
	log, _ := open(t)
	for range 3 {
		log.Hide(secret.New("first-token"), secret.New("second-token"), secret.New("first-token"))
	}
	if got := audit.Hidden(log); got != 2 {
		t.Errorf("%d values", got)
	}
}

// FuzzBundle: whatever a stream carries, the file verifies, holds no secret, and no line of
// it is of the host.
func FuzzBundle(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "egress| {\"event\":\"allow\"}\n", "host| x\n", "init| ", "firewall| {\"a\":[{}]}\negress", "egress| \xff\x00\n",
		"egress| {\"a\":1e999,\"b\":-0,\"\\ud800\":\"\\ud800\"}\n", "egress| TOPSECRET {\"TOPSECRET\":\"TOPSECRET\"}\n", "egress| {\"a\":\"\u2028\u007f\"}\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		log, path := open(t)
		log.Hide(secret.New("TOPSECRET"))
		stream := log.Bundle()
		for rest := data; len(rest) > 0; {
			n := min(len(rest), max(size%64, 1))
			if got, err := stream.Write(rest[:n]); got != n || err != nil {
				t.Fatalf("Write() = %d, %v", got, err)
			}
			rest = rest[n:]
		}
		must(t, stream.Close())
		for _, line := range lines(t, log, path) {
			if strings.HasPrefix(line, "host ") || strings.HasPrefix(line, "launch ") || strings.Contains(line, "TOPSECRET") {
				t.Fatalf("%q became %s", data, line)
			}
		}
	})
}
