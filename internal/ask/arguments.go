package ask

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/names"
	"bottle.internal/internal/urlpart/urlpath"
)

const (
	// MaxJustification bounds the agent's reasons, in bytes.
	MaxJustification = 2000

	maxCapability = 200
	maxPaths      = 16
	maxPath       = 512
	defaultPort   = 443
	cleartextPort = 80
)

// Allow asks for one route.
type Allow struct {
	Host          string   `json:"host"`
	Port          int      `json:"port,omitempty"`    // default 443
	Methods       []string `json:"methods,omitempty"` // default GET and HEAD
	Paths         []string `json:"paths,omitempty"`   // prefixes; default ["/"], all of them
	Justification string   `json:"justification"`
}

// Capability asks for something that no tool gives.
type Capability struct {
	Capability    string `json:"capability"`
	Justification string `json:"justification"`
}

// Push asks how the approval of a push stands.
type Push struct {
	Remote        string `json:"remote"`
	Branch        string `json:"branch"`
	Justification string `json:"justification"`
}

// ParseAllow decodes the arguments of egress-allow into their canonical form. Known is as
// in [CheckHost].
func ParseAllow(raw []byte, known []string) (Allow, error) {
	var a Allow
	if err := decodeArguments(raw, &a); err != nil {
		return Allow{}, err
	}
	return a.Canonical(known)
}

// Canonical checks and returns the one form of a: host in lower case, no default left out,
// lists sorted and without doubles.
func (a Allow) Canonical(known []string) (Allow, error) {
	host, err := CheckHost(a.Host, known)
	if err != nil {
		return Allow{}, err
	}
	out := Allow{Host: host, Port: a.Port}
	if out.Port == 0 {
		out.Port = defaultPort
	}
	if err := checkPort(out.Port); err != nil {
		return Allow{}, err
	}
	if out.Methods, err = canonicalMethods(a.Methods); err != nil {
		return Allow{}, err
	}
	if out.Paths, err = canonicalPaths(a.Paths); err != nil {
		return Allow{}, err
	}
	out.Justification, err = checkText("justification", a.Justification, MaxJustification)
	return out, err
}

func checkPort(port int) error {
	switch {
	case port < 1 || port > 65535:
		return fmt.Errorf("port %d: it must be from 1 to 65535", port)
	case slices.Contains([]int{8888, 9080, 9100, 9420, 9990}, port):
		return fmt.Errorf("port %d belongs to the bottle itself", port)
	case port == cleartextPort:
		return errors.New("port 80 is plain http; only https can be asked for")
	}
	return nil
}

// Methods are all methods that a route can have, in the order in which they are shown.
func Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

func canonicalMethods(methods []string) ([]string, error) {
	if len(methods) == 0 {
		return []string{"GET", "HEAD"}, nil
	}
	known := Methods()
	for _, method := range methods {
		if !slices.Contains(known, method) {
			return nil, fmt.Errorf("method %.20q: known are %s", method, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(known, func(m string) bool { return !slices.Contains(methods, m) }), nil
}

func canonicalPaths(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return []string{"/"}, nil
	}
	if len(paths) > maxPaths {
		return nil, fmt.Errorf("paths: %d of them, at most %d are allowed", len(paths), maxPaths)
	}
	for _, path := range paths {
		if err := CheckPath(path); err != nil {
			return nil, err
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(paths))), nil
}

// CheckPath accepts a prefix of paths, as the manifest does: plain text that is its own
// canonical form.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("path %.40q...: %d bytes, at most %d are allowed", path, len(path), maxPath)
	}
	if err := urlpath.Check(path); err != nil {
		return fmt.Errorf("path %.80q: %w", path, err)
	}
	if i := strings.IndexFunc(path, isSpecial); i >= 0 {
		return fmt.Errorf("path %.80q: a prefix may not hold %q", path, path[i:i+1])
	}
	return nil
}

// isSpecial finds what would be a wildcard, a query or an escape to somebody.
func isSpecial(r rune) bool {
	plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !plain && !strings.ContainsRune("/-_.~!$&'()+,:=@", r)
}

// ParseCapability decodes the arguments of capability-request.
func ParseCapability(raw []byte) (Capability, error) {
	var c Capability
	if err := decodeArguments(raw, &c); err != nil {
		return Capability{}, err
	}
	return c.Canonical()
}

// Canonical checks c.
func (c Capability) Canonical() (out Capability, err error) {
	if out.Capability, err = checkText("capability", c.Capability, maxCapability); err != nil {
		return Capability{}, err
	}
	out.Justification, err = checkText("justification", c.Justification, MaxJustification)
	return out, err
}

// ParsePush decodes the arguments of push-approval.
func ParsePush(raw []byte) (Push, error) {
	var p Push
	if err := decodeArguments(raw, &p); err != nil {
		return Push{}, err
	}
	if err := names.Validate(p.Remote); err != nil {
		return Push{}, fmt.Errorf("remote: %w", err)
	}
	if err := CheckBranch(p.Branch); err != nil {
		return Push{}, err
	}
	var err error
	p.Justification, err = checkText("justification", p.Justification, MaxJustification)
	return p, err
}

// CheckBranch accepts the short name of a branch: a subset of what git accepts.
func CheckBranch(branch string) error {
	bad := branch == "" || len(branch) > 200 || branch[0] == '-' || strings.Contains(branch, "..") || strings.Contains(branch, "//") ||
		strings.HasPrefix(branch, "/") || strings.HasSuffix(branch, "/") || strings.HasSuffix(branch, ".") || strings.HasSuffix(branch, ".lock") ||
		strings.ContainsFunc(branch, func(r rune) bool {
			plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
			return !plain && !strings.ContainsRune("/-_.+=,", r)
		})
	if bad {
		return fmt.Errorf("branch %.80q: write it as bottle/topic, in letters, digits and / - _ . + = ,", branch)
	}
	return nil
}

func decodeArguments(raw []byte, into any) error {
	if len(raw) > MaxQuestion {
		return fmt.Errorf("the arguments have %d bytes, at most %d are allowed", len(raw), MaxQuestion)
	}
	if err := Decode(raw, into); err != nil {
		return fmt.Errorf("the arguments: %w", err)
	}
	return nil
}

func checkText(what, text string, limit int) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", fmt.Errorf("%s is missing: the operator reads it", what)
	case len(text) > limit:
		return "", fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(text), limit)
	}
	return text, nil
}

// Marshal is the canonical JSON of arguments.
func Marshal(arguments any) json.RawMessage {
	raw, err := json.Marshal(arguments)
	if err != nil { // cannot happen: strings, numbers and lists of them
		return nil
	}
	return raw
}
