package gitgate

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"bottle/*", "bottle/x", true},
		{"bottle/*", "bottle/x/y", false},
		{"bottle/**", "bottle/x/y", true},
		{"bottle/*", "bottle", false},
		{"bottle/*", "xbottle/x", false},
		{"a*c*e", "abcde", true},
		{"a*c*e", "abdce", true},
		{"a*a", "a", false},
		{"*", "x/y", false},
		{"**", "x/y", true},
		{"a/**/b", "a/b", true},
		{"a/**/b", "a/x/y/b", true},
		{"a.b", "aXb", false},
		{"release-*.x", "release-1.x", true},
	} {
		if got := matchGlob(test.pattern, test.name); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.name, got)
		}
	}
}

func TestProtector(t *testing.T) {
	t.Parallel()
	p := newProtector([]string{".github/workflows/**", "azure-pipelines*.yml", ".woodpecker*", ".circleci/**"})
	for path, want := range map[string]bool{
		".github/workflows/a.yml": true, ".github/WORKFLOWS/a.yml": true, ".github/wor\u212aflows/a": true, ".github/other": false,
		"azure-pipelines-x.yml": true, "x/azure-pipelines.yml": true, ".woodpecker/a/b": true, ".woodpecker.yml": true,
		".circleci": true, "x/.circleci/y": false, "readme": false,
	} {
		if got := p.matches(path, false); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	for path, want := range map[string]bool{".github": true, ".GitHub": true, ".github/workflows": true, ".github/x": false, "github": false} {
		if got := p.matches(path, true); got != want {
			t.Errorf("a link at %q: %v", path, got)
		}
	}
}

// FuzzPush: whatever a client sends, what is accepted is well-formed, and reading stops
// before the pack.
func FuzzPush(f *testing.F) {
	oid := strings.Repeat("a", 40)
	f.Add(append(appendPkt(nil, zeroOID+" "+oid+" refs/heads/x\x00report-status side-band-64k"), "0000PACK"...))
	f.Add(append(appendPkt(nil, "shallow "+oid), "0000"...))
	f.Add([]byte("0000"))
	f.Add([]byte("0001"))
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := readPushRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Fatalf("an unclassified error: %v", err)
			}
			return
		}
		if len(request.Commands) > maxCommands {
			t.Fatalf("%d commands", len(request.Commands))
		}
		for _, cmd := range request.Commands {
			if !oidPattern.MatchString(cmd.Old) || !oidPattern.MatchString(cmd.New) || strings.ContainsAny(cmd.Ref, "\n\r\x00") {
				t.Fatalf("accepted %+q", cmd)
			}
			if checkRef(cmd.Ref) == "" && (strings.ContainsAny(cmd.Ref, " :^~?*[\\$'\"`;&|<>(){}\t") || strings.Contains(cmd.Ref, "/-") || !strings.HasPrefix(cmd.Ref, "refs/")) {
				t.Fatalf("a good name: %q", cmd.Ref)
			}
		}
	})
}

// FuzzDiffs: what git says of a hostile tree is read whole or refused.
func FuzzDiffs(f *testing.F) {
	oid := strings.Repeat("a", 40)
	f.Add([]byte(oid + "\x00:000000 100644 " + zeroOID + " " + oid + " A\x00path\nwith line\x00"))
	f.Add([]byte(":"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = readDiffs(bufio.NewReader(bytes.NewReader(data)), func(string, bool) error { return nil })
	})
}

// FuzzAgentMessage: the relay's framing never reads more than it may.
func FuzzAgentMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 11})
	f.Add([]byte{255, 255, 255, 255, 11})
	f.Fuzz(func(t *testing.T, data []byte) {
		message, err := readAgentMessage(bytes.NewReader(data))
		if err == nil && (len(message) == 0 || len(message) > maxAgentMessage) {
			t.Fatalf("a message of %d bytes", len(message))
		}
	})
}
