// Package requestscan finds credentials in what a request says in clear, with the rules of
// gitleaks.
//
// Invariants: it names the rule that matched and never the text; text that hides a
// credential behind percent-encoding, base64 or hex, up to three times over, is read as the
// credential; rules that cannot be loaded are an error, never an empty answer.
package requestscan

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"

	"bottle.internal/internal/gitleaks"
)

const (
	// depth is how many layers of encoding are taken off.
	depth = 3
	// maxText bounds one search; a request head is smaller.
	maxText = 64 << 10
)

// Scanner holds the rules. Its methods may be called from any goroutine. The zero Scanner
// is ready: it compiles the rules at the first use.
type Scanner struct {
	once     sync.Once
	detector *detect.Detector
	err      error
}

// prepare compiles the rules, which takes a tenth of a second and 20 MB, unless that was
// done before.
func (s *Scanner) prepare() error {
	s.once.Do(func() {
		rules, err := gitleaks.Rules()
		if err != nil {
			s.err = fmt.Errorf("loading the rules for secrets: %w", err)
			return
		}
		s.detector = detect.NewDetector(rules)
		s.detector.MaxDecodeDepth = depth
		// Nothing that stands beside a credential may excuse it: the agent wrote that too.
		s.detector.IgnoreGitleaksAllow = true
		for id, rule := range s.detector.Config.Rules {
			rule.Allowlists = slices.DeleteFunc(slices.Clone(rule.Allowlists), func(list *config.Allowlist) bool {
				return list.RegexTarget == "line"
			})
			s.detector.Config.Rules[id] = rule
		}
	})
	return s.err
}

// Find returns the identifier of the first rule, in alphabetical order, that matches any of
// the texts, and "" when none does. Too much text is an error.
func (s *Scanner) Find(texts ...string) (rule string, err error) {
	if err := s.prepare(); err != nil {
		return "", err
	}
	joined := strings.Join(texts, "\n")
	if len(joined) > maxText {
		return "", fmt.Errorf("searching for secrets: %d bytes, at most %d are searched", len(joined), maxText)
	}
	var rules []string
	for _, finding := range s.detector.DetectString(joined) {
		rules = append(rules, finding.RuleID)
	}
	if len(rules) == 0 {
		return "", nil
	}
	return slices.Min(rules), nil
}

// Views are the ways to read the target of a request: as it is, without its
// percent-encoding, and in the pieces between its delimiters, which gitleaks would take for
// base64 letters.
func Views(target string) []string {
	views := []string{target}
	plain := target
	for range depth {
		next := unescape(plain)
		if next == plain {
			break
		}
		plain = next
		views = append(views, plain)
	}
	pieces := strings.FieldsFunc(plain, func(r rune) bool { return strings.ContainsRune("/?&;=:,.", r) })
	return append(views, strings.Join(pieces, "\n"))
}

// unescape takes one layer of percent-encoding off, whatever the bytes are; escapes that
// are none stay. A control character parts two pieces.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		b := text[i]
		if b == '%' && i+2 < len(text) {
			if plain, err := url.PathUnescape(text[i : i+3]); err == nil {
				b = plain[0]
				i += 2
			}
		}
		if b < ' ' || b == 0x7f {
			b = '\n'
		}
		out.WriteByte(b)
	}
	return out.String()
}
