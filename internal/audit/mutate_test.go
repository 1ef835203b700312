package audit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/audit"
)

// Whatever somebody without the key does to any line of a log, it is seen, and what is said
// to be true and signed before it was not touched.
func TestEveryLineInEveryWay(t *testing.T) {
	t.Parallel()
	lines, head := sample(t)
	ways := map[string]func(lines []string, i int) []string{
		"removed": func(lines []string, i int) []string { return slices.Delete(lines, i, i+1) },
		"removed, hashes made right": func(lines []string, i int) []string {
			lines = slices.Delete(lines, i, i+1)
			rechain(t, lines, i)
			return lines
		},
		"twice": func(lines []string, i int) []string { return slices.Insert(lines, i, lines[i]) },
		"swapped": func(lines []string, i int) []string {
			j := (i + 1) % len(lines)
			lines[i], lines[j] = lines[j], lines[i]
			return lines
		},
		"moved to the end": func(lines []string, i int) []string {
			if i == len(lines)-1 {
				i = 0
			}
			return append(slices.Delete(slices.Clone(lines), i, i+1), lines[i])
		},
		"cut off before it":      func(lines []string, i int) []string { return lines[:i] },
		"cut off in its middle":  func(lines []string, i int) []string { return append(lines[:i:i], lines[i][:len(lines[i])/2]) },
		"cut off before its end": func(lines []string, i int) []string { return append(lines[:i:i], strings.TrimSuffix(lines[i], "\n")) },
		"joined with the next": func(lines []string, i int) []string {
			lines[i] = strings.TrimSuffix(lines[i], "\n") + " "
			return lines
		},
		"an empty line before it": func(lines []string, i int) []string { return slices.Insert(lines, i, "\n") },
		"a line forged before it": func(lines []string, i int) []string {
			l := decode(t, lines[i])
			l.Source, l.Event, l.Fields = audit.Host, "decision", []byte(`{"status":"approved"}`)
			return slices.Insert(lines, i, audit.Forge(l))
		},
		"changed, its hash made right": func(lines []string, i int) []string {
			l := decode(t, lines[i])
			l.Fields = []byte(`{"forged":true}`)
			lines[i] = audit.Forge(l)
			return lines
		},
		"changed, all hashes made right": func(lines []string, i int) []string {
			l := decode(t, lines[i])
			l.Fields = []byte(`{"forged":true}`)
			lines[i] = audit.Forge(l)
			rechain(t, lines, i+1)
			return lines
		},
		"earlier, all hashes made right": func(lines []string, i int) []string {
			l := decode(t, lines[i])
			l.Time = l.Time.Add(-1e9)
			lines[i] = audit.Forge(l)
			rechain(t, lines, i+1)
			return lines
		},
		"from another source, all hashes made right": func(lines []string, i int) []string {
			l := decode(t, lines[i])
			l.Source = audit.Supervise
			lines[i] = audit.Forge(l)
			rechain(t, lines, i+1)
			return lines
		},
	}
	for i := range lines {
		for name, way := range ways {
			check(t, fmt.Sprintf("line %d %s", i+1, name), lines, way(slices.Clone(lines), i), head)
		}
		for at := range lines[i] {
			for _, with := range []byte{lines[i][at] ^ 1, '\n'} {
				if with == lines[i][at] {
					continue
				}
				changed := slices.Clone(lines)
				changed[i] = lines[i][:at] + string([]byte{with}) + lines[i][at+1:]
				check(t, fmt.Sprintf("byte %d of line %d is %q", at, i+1, with), lines, changed, head)
			}
		}
	}
}

// check reads a log that was touched, also as one that is still being written.
func check(t *testing.T, name string, original, lines []string, head string) {
	t.Helper()
	for _, live := range []bool{false, true} {
		var unsigned, signed []string
		_, err := audit.Scan(strings.NewReader(strings.Join(lines, "")), audit.Expect{Key: testKey(1).Public(), Head: head, Live: live}, func(l audit.Line) error {
			raw, err := l.Encode()
			unsigned = append(unsigned, string(raw)+"\n")
			if l.IsHead() {
				signed, unsigned = append(signed, unsigned...), nil
			}
			return err
		})
		if broken := (*audit.BrokenError)(nil); !errors.As(err, &broken) {
			t.Fatalf("%s (live: %v): %v", name, live, err)
		}
		if len(signed) > len(original) || !slices.Equal(signed, original[:len(signed)]) {
			t.Fatalf("%s (live: %v): %d lines count as signed, and one was touched", name, live, len(signed))
		}
	}
}

// A head counts the lines that it signs.
func TestHeadCounts(t *testing.T) {
	t.Parallel()
	lines, _ := sample(t)
	last := decode(t, lines[3])
	for count, want := range map[uint64]string{4: "", 3: "line 5 has a bad signature: something before it was changed", 5: "line 5 has a bad signature: something before it was changed"} {
		_, err := verify(strings.Join(lines[:4], "")+audit.SignCount(testKey(1), last, count), audit.Expect{})
		if text(err) != want {
			t.Errorf("a head that counts %d of 4 lines: %v", count, err)
		}
	}
}

// Who forges lines cannot make a reader wait for a signature for ever.
func TestUnsignedLines(t *testing.T) {
	t.Parallel()
	lines, _ := sample(t)
	for len(lines) < 2000 {
		lines = append(lines, forge(t, lines, func(*audit.Line) {}))
	}
	visited := 0
	_, err := audit.Scan(strings.NewReader(strings.Join(lines, "")), audit.Expect{Key: testKey(1).Public(), Live: true}, func(audit.Line) error {
		visited++
		return nil
	})
	if broken := (*audit.BrokenError)(nil); !errors.As(err, &broken) || broken.Kind != audit.Unsigned || visited > 400 {
		t.Errorf("after %d lines: %v", visited, err)
	}
}
