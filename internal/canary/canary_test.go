package canary_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zricethezav/gitleaks/v8/detect"

	"bottle.internal/internal/canary"
)

func newSet(t *testing.T, taken ...string) canary.Set {
	t.Helper()
	set, err := canary.New(rand.Reader, taken...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const (
	awsFile = "/home/agent/.aws/credentials"
	envFile = "/home/agent/.config/deploy/production.env"
)

// Every value has the form, and where there is one the checksum, of a real one.
func TestValuesLookReal(t *testing.T) {
	t.Parallel()
	for range 200 {
		values := reveal(newSet(t))
		for i, pattern := range []string{
			`^AKIA[Q-Z2-7][A-Z2-7]{15}$`, `^[A-Za-z0-9+/]{40}$`, `^ghp_[A-Za-z0-9]{36}$`, `^sk_live_51[A-Za-z0-9]{97}$`,
		} {
			if !regexp.MustCompile(pattern).MatchString(values[i]) {
				t.Errorf("%q is not %s", values[i], pattern)
			}
		}
		raw, err := base32.StdEncoding.DecodeString(values[0][4:])
		if err != nil {
			t.Fatal(err)
		}
		account := binary.BigEndian.Uint64(append([]byte{0, 0}, raw[:6]...)) & 0x7fffffffff80 >> 7
		if len(fmt.Sprint(account)) != 12 {
			t.Errorf("%s belongs to the account %d", values[0], account)
		}
		if got, want := unbase62(values[2][34:]), uint64(crc32.ChecksumIEEE([]byte(values[2][4:34]))); got != want {
			t.Errorf("%s ends in the checksum %d, want %d", values[2], got, want)
		}
	}
}

func unbase62(text string) (n uint64) {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, letter := range text {
		n = n*62 + uint64(strings.IndexRune(letters, letter))
	}
	return n
}

// Whoever looks for credentials with the usual rules takes the files for some.
func TestScannersFindTheFiles(t *testing.T) {
	t.Parallel()
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, file := range newSet(t).Files {
		for _, finding := range detector.DetectString(file.Text.Reveal()) {
			rules = append(rules, finding.RuleID)
		}
	}
	slices.Sort(rules)
	if got := strings.Join(slices.Compact(rules), " "); !strings.Contains(got, "aws-access-token") ||
		!strings.Contains(got, "github-pat") || !strings.Contains(got, "stripe-access-token") {
		t.Errorf("found: %s", got)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	var paths []string
	text := ""
	for _, file := range set.Files {
		paths = append(paths, file.Path)
		text += file.Text.Reveal()
	}
	if !slices.Equal(paths, []string{awsFile, envFile}) {
		t.Errorf("planted: %q", paths)
	}
	for _, value := range reveal(set) {
		if strings.Count(text, value) != 1 {
			t.Errorf("%q is not in the files once", value)
		}
	}
	// AWS's programs take the default profile without being told.
	if !strings.HasPrefix(set.Files[0].Text.Reveal(), "[production]\n") || strings.Contains(text, "[default]") {
		t.Errorf("profiles: %s", set.Files[0].Text.Reveal())
	}
	if left := newSet(t, awsFile); len(left.Files) != 1 || left.Files[0].Path != envFile || len(left.Values) != 2 {
		t.Errorf("beside the operator's own: %+v", left.Files)
	}
}

func TestEveryLaunchHasItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 50 {
		for _, value := range reveal(newSet(t)) {
			if seen[value] {
				t.Errorf("%q came twice", value)
			}
			seen[value] = true
		}
	}
}

func TestValuesAreNotShown(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	encoded, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s", set, set, set, encoded)
	for _, value := range reveal(set) {
		if strings.Contains(shown, value) {
			t.Errorf("%q is shown: %s", value, shown)
		}
		if print := canary.Fingerprint(value); !regexp.MustCompile(`^sha256:[0-9a-f]{16}$`).MatchString(print) || strings.Contains(print, value) {
			t.Errorf("fingerprint: %s", print)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	t.Parallel()
	broken := errors.New("no entropy")
	for n := range 5 {
		// The first n reads work; a random source that gives out is never papered over.
		source := bytes.NewReader(bytes.Repeat([]byte{0x95}, 60*n))
		if _, err := canary.New(source); err == nil {
			t.Errorf("made from %d bytes", 60*n)
		}
	}
	if _, err := canary.New(iotest.ErrReader(broken)); !errors.Is(err, broken) || err.Error() != "making a canary: no entropy" {
		t.Error(err)
	}
}

func reveal(set canary.Set) []string {
	var list []string
	for _, value := range set.Values {
		list = append(list, value.Reveal())
	}
	return list
}

func TestSighting(t *testing.T) {
	t.Parallel()
	for want, seen := range map[string]canary.Sighting{
		"a fake credential was seen by the egress in the body (POST open.test)":                    {Daemon: "egress", Where: "body", Method: "POST", Host: "open.test", Blocked: true},
		"a fake credential was seen by the egress in the body (POST api.test), which went through": {Daemon: "egress", Where: "body", Method: "POST", Host: "api.test"},
		"a fake credential was seen by the supervise in the arguments of a tool":                   {Daemon: "supervise", Where: "arguments of a tool", Blocked: true},
		"a fake credential was seen by the firewall in the target (evil.test)":                     {Daemon: "firewall", Where: "target", Host: "evil.test", Blocked: true},
	} {
		if got := seen.String(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
