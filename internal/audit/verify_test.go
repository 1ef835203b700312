package audit_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/audit"
)

// sample is a log of 10 lines: open, head, r, r, head, r, r, r, r, head.
func sample(t testing.TB) (lines []string, head string) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path, testKey(1), noon)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		err := log.Append(t.Context(), audit.Record{Source: audit.Egress, Event: "allow", Fields: map[string]int{"n": i}})
		if i == 1 {
			err = errors.Join(err, log.Flush(t.Context()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(readAll(t, path))), log.Head().Hash
}

// forge appends a line as somebody can who has no key.
func forge(t *testing.T, lines []string, change func(*audit.Line)) string {
	t.Helper()
	last := decode(t, lines[len(lines)-1])
	line := audit.Line{Seq: last.Seq + 1, Time: last.Time, Source: audit.Egress, Event: "allow", Fields: []byte(`{}`), Prev: last.Hash}
	change(&line)
	return audit.Forge(line)
}

func decode(t *testing.T, line string) audit.Line {
	t.Helper()
	l, err := audit.Decode(strings.TrimSuffix(line, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rechain makes the hashes right again after a change, from line i on.
func rechain(t *testing.T, lines []string, i int) {
	t.Helper()
	for ; i < len(lines); i++ {
		l := decode(t, lines[i])
		if i > 0 {
			previous := decode(t, lines[i-1])
			l.Prev, l.Seq = previous.Hash, previous.Seq+1
		}
		lines[i] = audit.Forge(l)
	}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	nothing := func(*audit.Line) {}
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, lines []string) []string
		line   uint64
		kind   audit.Kind
		text   string
	}{
		{"a byte of a value", func(_ *testing.T, lines []string) []string {
			lines[3] = strings.Replace(lines[3], `"n":1`, `"n":7`, 1)
			return lines
		}, 4, audit.Changed, "line 4 does not have the hash that it names: it was changed"},
		{"a byte of the hash", func(_ *testing.T, lines []string) []string {
			at := len(lines[3]) - 5
			lines[3] = lines[3][:at] + map[bool]string{true: "1", false: "0"}[lines[3][at] == '0'] + lines[3][at+1:]
			return lines
		}, 4, audit.Changed, "line 4 does not have the hash that it names: it was changed"},
		{"a byte of the frame", func(_ *testing.T, lines []string) []string {
			lines[3] = strings.Replace(lines[3], `"hash":`, `"hasj":`, 1)
			return lines
		}, 4, audit.Changed, "line 4 is no record: it was changed"},
		{"another spelling, with its hash", func(_ *testing.T, lines []string) []string {
			inner, _, _ := strings.Cut(lines[3], `,"hash":`)
			inner = strings.Replace(inner, `"event"`, `"event":"deny","event"`, 1)
			lines[3] = fmt.Sprintf("%s,\"hash\":\"%x\"}\n", inner, sha256.Sum256([]byte(inner+"}")))
			return lines
		}, 4, audit.Changed, "line 4 is not spelled as a record is: it was changed"},
		{"a value, with its hash", func(t *testing.T, lines []string) []string {
			l := decode(t, lines[3])
			l.Fields = []byte(`{"n":7}`)
			lines[3] = audit.Forge(l)
			return lines
		}, 5, audit.Changed, "line 5 does not follow the line before it: one of them was changed"},
		{"a value, with all hashes after it", func(t *testing.T, lines []string) []string {
			l := decode(t, lines[3])
			l.Fields = []byte(`{"n":7}`)
			lines[3] = audit.Forge(l)
			rechain(t, lines, 4)
			return lines
		}, 5, audit.Signature, "line 5 has a bad signature: something before it was changed"},
		{"the time of a head, with all hashes after it", func(t *testing.T, lines []string) []string {
			l := decode(t, lines[4])
			l.Time = l.Time.Add(1e9)
			lines[4] = audit.Forge(l)
			rechain(t, lines, 5)
			return lines
		}, 5, audit.Signature, "line 5 has a bad signature: something before it was changed"},
		{"a line removed", func(_ *testing.T, lines []string) []string {
			return slices.Delete(lines, 3, 4)
		}, 4, audit.Removed, "line 4 has number 5: 1 before it were removed"},
		{"the beginning removed", func(_ *testing.T, lines []string) []string {
			return lines[3:]
		}, 1, audit.Removed, "line 1 has number 4: 3 before it were removed"},
		{"a line removed, with all hashes after it", func(t *testing.T, lines []string) []string {
			lines = slices.Delete(lines, 3, 4)
			rechain(t, lines, 3)
			return lines
		}, 4, audit.Signature, "line 4 has a bad signature: something before it was changed"},
		{"two lines swapped", func(_ *testing.T, lines []string) []string {
			lines[6], lines[7] = lines[7], lines[6]
			return lines
		}, 7, audit.Reordered, "line 7 has number 8, and number 7 comes later: lines were reordered"},
		{"a line twice", func(_ *testing.T, lines []string) []string {
			return slices.Insert(lines, 4, lines[3])
		}, 5, audit.Inserted, "line 5 has number 4, which was there before: a line was inserted"},
		{"a forged line in the middle", func(t *testing.T, lines []string) []string {
			return slices.Insert(lines, 7, forge(t, lines[:7], nothing))
		}, 9, audit.Inserted, "line 9 has number 8, which was there before: a line was inserted"},
		{"the end cut off behind a head", func(_ *testing.T, lines []string) []string {
			return lines[:5]
		}, 6, audit.Cut, "line 6 is missing: the log should reach HEAD, its end was cut off"},
		{"the end cut off before a head", func(_ *testing.T, lines []string) []string {
			return lines[:9]
		}, 10, audit.Cut, "line 10 is missing: the log should reach HEAD, its end was cut off"},
		{
			"all cut off", func(*testing.T, []string) []string { return nil },
			1, audit.Cut, "line 1 is missing: the log is empty",
		},
		{"cut off in the middle of a line", func(_ *testing.T, lines []string) []string {
			lines[9] = lines[9][:40]
			return lines
		}, 10, audit.Torn, "line 10 has no end: the log was cut in the middle of it, or its process was killed"},
		{"a forged line at the end", func(t *testing.T, lines []string) []string {
			return append(lines, forge(t, lines, nothing))
		}, 11, audit.Unsigned, "line 11 is not signed, and 0 after it: they were appended by somebody else, or the process was killed"},
		{"a forged head at the end", func(t *testing.T, lines []string) []string {
			return append(lines, forge(t, lines, func(l *audit.Line) {
				l.Source, l.Event = "audit", "head"
				l.Fields = fmt.Appendf(nil, `{"count":%d,"hash":%q,"key":%q,"signature":"aGVsbG8="}`, l.Seq-1, l.Prev, audit.Fingerprint(testKey(1).Public()))
			}))
		}, 11, audit.Signature, "line 11 has a bad signature: something before it was changed"},
		{"an old head once more", func(t *testing.T, lines []string) []string {
			return append(lines, forge(t, lines, func(l *audit.Line) {
				l.Source, l.Event, l.Fields = "audit", "head", decode(t, lines[9]).Fields
			}))
		}, 11, audit.Signature, "line 11 has a bad signature: something before it was changed"},
		{"a head of another shape", func(t *testing.T, lines []string) []string {
			return append(lines, forge(t, lines, func(l *audit.Line) { l.Source, l.Event = "audit", "head"; l.Fields = []byte(`{"x":1}`) }))
		}, 11, audit.Signature, `line 11 is no signature: json: unknown field "x"`},
		{"an opening that hides lines", func(t *testing.T, lines []string) []string {
			lines = append(lines, forge(t, lines, nothing))
			return append(lines, forge(t, lines, func(l *audit.Line) { l.Source, l.Event = "audit", "open"; l.Fields = []byte(`{"format":1}`) }))
		}, 12, audit.Changed, "line 12 does not say what is before it: it was changed"},
		{"another beginning", func(t *testing.T, _ []string) []string {
			return []string{audit.Forge(audit.Line{Seq: 1, Source: audit.Host, Event: "x", Fields: []byte(`{}`), Prev: strings.Repeat("0", 64)})}
		}, 1, audit.Changed, "line 1 is not how a log begins: it was changed"},
		{"a line without an end", func(_ *testing.T, lines []string) []string {
			return append(lines, strings.Repeat("x", 1<<20))
		}, 11, audit.Changed, "line 11 is longer than any record"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lines, head := sample(t)
			tampered := strings.Join(test.tamper(t, slices.Clone(lines)), "")
			_, err := verify(tampered, audit.Expect{Head: head})
			broken := (*audit.BrokenError)(nil)
			if !errors.As(err, &broken) {
				t.Fatalf("Verify() = %v", err)
			}
			if got := strings.ReplaceAll(broken.Error(), head, "HEAD"); broken.Line != test.line || broken.Kind != test.kind || got != test.text {
				t.Errorf("Verify() = %d, %s, %q; want %d, %s, %q", broken.Line, broken.Kind, got, test.line, test.kind, test.text)
			}
			if _, err := verify(strings.Join(lines, ""), audit.Expect{Head: head}); err != nil {
				t.Errorf("untouched: %v", err)
			}
		})
	}
}

// No single byte of a log can be exchanged, and no prefix passes for the whole.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	lines, head := sample(t)
	whole := strings.Join(lines, "")
	for i := range len(whole) {
		changed := []byte(whole)
		changed[i] ^= 1
		if _, err := verify(string(changed), audit.Expect{Head: head}); err == nil {
			t.Errorf("byte %d (%q) can be changed", i, whole[i])
		}
		if i%16 > 0 && whole[max(i-1, 0)] != '\n' {
			continue // every end of a line, and some of the rest
		}
		if _, err := verify(whole[:i], audit.Expect{Head: head}); err == nil {
			t.Errorf("the first %d bytes pass", i)
		}
	}
}

func TestAnotherKey(t *testing.T) {
	t.Parallel()
	lines, _ := sample(t)
	_, err := audit.Verify(strings.NewReader(strings.Join(lines, "")), audit.Expect{Key: testKey(2).Public()})
	want := fmt.Sprintf("line 2 is signed with key %q, and the key of this host is %q",
		audit.Fingerprint(testKey(1).Public()), audit.Fingerprint(testKey(2).Public()))
	if text(err) != want {
		t.Errorf("Verify() = %v, want %s", err, want)
	}
	if _, err := audit.Verify(strings.NewReader(""), audit.Expect{}); text(err) != "verifying an audit log: there is no key to verify it with" {
		t.Errorf("Verify() without a key = %v", err)
	}
}

// While somebody writes, the end may be unfinished; but not more than a writer can owe.
func TestALiveLog(t *testing.T) {
	t.Parallel()
	lines, head := sample(t)
	whole := strings.Join(lines[:9], "") + `{"seq":10,`
	summary, err := verify(whole, audit.Expect{Live: true})
	if err != nil || summary.Unsigned != 4 || summary.Torn != 10 || summary.Lines != 9 {
		t.Errorf("Verify() = %+v, %v", summary, err)
	}
	for range 100 {
		lines = append(lines, forge(t, lines, func(*audit.Line) {}))
	}
	_, err = verify(strings.Join(lines, ""), audit.Expect{Live: true, Head: head})
	if broken := (*audit.BrokenError)(nil); !errors.As(err, &broken) || broken.Kind != audit.Unsigned || broken.Line != 11 {
		t.Errorf("Verify() = %v", err)
	}
}

func TestScanStops(t *testing.T) {
	t.Parallel()
	lines, _ := sample(t)
	enough := errors.New("enough")
	seen := 0
	_, err := audit.Scan(strings.NewReader(strings.Join(lines, "")), audit.Expect{Key: testKey(1).Public()}, func(audit.Line) error {
		seen++
		return map[bool]error{true: enough}[seen == 3]
	})
	if seen != 3 || !errors.Is(err, enough) {
		t.Errorf("%d lines, %v", seen, err)
	}
}

// FuzzVerify: whatever passes has the lines of the sample, in their order.
func FuzzVerify(f *testing.F) {
	lines, _ := sample(f)
	whole := strings.Join(lines, "")
	for _, seed := range []string{"", "\n", "{}\n", whole, whole[:len(whole)/2], strings.Join(lines[:5], ""), lines[0] + lines[0], `{"seq":1,"hash":""}` + "\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		summary, err := verify(string(data), audit.Expect{})
		if broken := (*audit.BrokenError)(nil); err != nil && (!errors.As(err, &broken) || broken.Line == 0) {
			t.Fatalf("Verify() = %v", err)
		}
		if err == nil && (summary.Heads == 0 || !strings.HasPrefix(whole, string(data))) {
			t.Fatalf("a forged log passes: %q", data)
		}
	})
}
