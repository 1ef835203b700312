// Package pushscan finds secrets in bytes, with the rules of gitleaks.
//
// Invariants: nothing in the bytes or in their name turns a rule off (no allow comments, no
// path or line that is let pass, no configuration of a repository); encodings are undone to
// a depth, archives are opened; what cannot be looked into is an error, not a pass; memory
// and the size of what comes out of an archive are bounded; no result holds a secret.
package pushscan

import (
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"

	"bottle.internal/internal/gitleaks"
)

// decodeDepth is how often encodings are undone.
const decodeDepth = 4

// Rules are gitleaks' own, compiled once. A Rules may be used from many goroutines.
type Rules struct{ compiled func() (*compiled, error) }

type compiled struct {
	detector *detect.Detector // undoes encodings
	plain    *detect.Detector // for what holds none
	names    []named          // rules about a name alone
	special  []*regexp.Regexp // names for which a rule reads the content differently
}

// named is a rule about the name of a file.
type named struct {
	id      string
	pattern *regexp.Regexp
}

// NewRules compiles nothing yet.
func NewRules() *Rules { return &Rules{sync.OnceValues(compile)} }

// Compile takes some 100 ms the first time. Its error comes back from every later use.
func (r *Rules) Compile() { _, _ = r.compiled() }

func compile() (*compiled, error) {
	rules, err := gitleaks.Rules()
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	c := &compiled{}
	if rules.Allowlists, err = strict(rules.Allowlists); err != nil {
		return nil, err
	}
	for id, rule := range rules.Rules {
		if rule.Allowlists, err = strict(rule.Allowlists); err != nil {
			return nil, err
		}
		switch {
		case rule.Path != nil && rule.Regex == nil:
			c.names = append(c.names, named{id, rule.Path})
			delete(rules.Rules, id)
			continue
		case rule.Path != nil:
			c.special = append(c.special, rule.Path)
		}
		rules.Rules[id] = rule
	}
	c.detector, c.plain = detect.NewDetector(rules), detect.NewDetector(rules)
	c.detector.IgnoreGitleaksAllow, c.plain.IgnoreGitleaksAllow = true, true
	c.detector.MaxDecodeDepth = decodeDepth
	return c, nil
}

// strict drops what lets a finding pass because of where it is: the author of a push
// chooses paths, commits, and what else is on a line.
func strict(lists []*config.Allowlist) ([]*config.Allowlist, error) {
	var kept []*config.Allowlist
	for _, list := range lists {
		located := len(list.Paths) > 0 || len(list.Commits) > 0
		if list.RegexTarget == "line" || located && list.MatchCondition == config.AllowlistMatchAnd {
			continue
		}
		next := &config.Allowlist{
			Description: list.Description, MatchCondition: list.MatchCondition, RegexTarget: list.RegexTarget,
			Regexes: list.Regexes, StopWords: list.StopWords,
		}
		if len(next.Regexes) == 0 && len(next.StopWords) == 0 {
			continue
		}
		if err := next.Validate(); err != nil {
			return nil, fmt.Errorf("reading the rules: %w", err)
		}
		kept = append(kept, next)
	}
	return kept, nil
}

// IsSpecial reports whether a file name makes rules apply that others do not get.
func (r *Rules) IsSpecial(name string) (bool, error) {
	c, err := r.compiled()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(c.special, func(p *regexp.Regexp) bool { return p.MatchString(name) }), nil
}

// Name returns the rule that a file's name breaks, or "".
func (r *Rules) Name(name string) (string, error) {
	c, err := r.compiled()
	if err != nil {
		return "", err
	}
	for _, rule := range c.names {
		if rule.pattern.MatchString(name) {
			return rule.id, nil
		}
	}
	return "", nil
}
