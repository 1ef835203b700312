package gitgate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/names"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
)

// ConfigFile is the name of the input that holds the configuration.
const ConfigFile = "gitgate.json"

const configVersion = 1

// Config is what the gate works with.
type Config struct {
	Version int      `json:"version"` // Render sets it
	Remotes []Remote `json:"remotes"`
	// Canaries are the bottle's fake credentials, 8 bytes or more each: a push that holds
	// one, in clear or encoded, is refused.
	Canaries []string `json:"canaries,omitempty"`
	Limits   Limits   `json:"limits,omitzero"`
}

// Remote is one repository behind the gate.
type Remote struct {
	Name         string   `json:"name"`
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	User         string   `json:"user"`
	Path         string   `json:"path"`           // with its leading slash
	KnownHostKey string   `json:"known_host_key"` // "HOST TYPE KEY" as in known_hosts
	Branches     []string `json:"branches"`       // globs of branch names without refs/heads/
	Approve      bool     `json:"approve"`        // every push waits for a human
	Protect      []string `json:"protect"`        // globs of paths whose change waits for a human
	Private      bool     `json:"private,omitempty"`
	AllowPrivate []string `json:"allow_private,omitempty"` // CIDR
}

// Limits bound one push. Zero fields get the default.
type Limits struct {
	PushBytes     int64 `json:"push_bytes,omitempty"`     // pack as received; default 512 MiB
	ObjectBytes   int64 `json:"object_bytes,omitempty"`   // one object, inflated; default 64 MiB
	InflatedBytes int64 `json:"inflated_bytes,omitempty"` // all new objects, inflated; default 1 GiB
	Objects       int   `json:"objects,omitempty"`        // new objects; default 500,000
	Refs          int   `json:"refs,omitempty"`           // default 20
	PushSeconds   int   `json:"push_seconds,omitempty"`   // from the first byte to the answer; default 900
	FetchSeconds  int   `json:"fetch_seconds,omitempty"`  // to bring the mirror up to date; default 600
	WaitSeconds   int   `json:"wait_seconds,omitempty"`   // for another push of the remote; default 60
}

func (l Limits) withDefaults() Limits {
	return Limits{
		PushBytes:     cmp.Or(l.PushBytes, 512<<20),
		ObjectBytes:   cmp.Or(l.ObjectBytes, 64<<20),
		InflatedBytes: cmp.Or(l.InflatedBytes, 1<<30),
		Objects:       cmp.Or(l.Objects, 500_000),
		Refs:          cmp.Or(l.Refs, 20),
		PushSeconds:   cmp.Or(l.PushSeconds, 900),
		FetchSeconds:  cmp.Or(l.FetchSeconds, 600),
		WaitSeconds:   cmp.Or(l.WaitSeconds, 60),
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// Render is the one form that Parse understands.
func Render(c Config) ([]byte, error) {
	c.Version = configVersion
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", ConfigFile, err)
	}
	c.Remotes = slices.Clone(c.Remotes)
	slices.SortFunc(c.Remotes, func(a, b Remote) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", ConfigFile, err)
	}
	return b.Bytes(), nil
}

// Parse fails closed: what Render would not have written is an error of one line.
func Parse(data []byte) (Config, error) {
	var c Config
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("reading %s: %s", ConfigFile, printable.ASCII(err.Error(), 200))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("reading %s: something follows the value", ConfigFile)
	}
	if c.Version != configVersion {
		return Config{}, fmt.Errorf("reading %s: version %d, only %d is understood", ConfigFile, c.Version, configVersion)
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", ConfigFile, err)
	}
	want, err := Render(c)
	if err != nil {
		return Config{}, err
	}
	// Doubled keys, other spellings of keys, another order: all of them differ here.
	if !bytes.Equal(data, want) {
		return Config{}, fmt.Errorf("reading %s: it is not in the form that bottle writes", ConfigFile)
	}
	return c, nil
}

var (
	userPattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	pathPattern   = regexp.MustCompile(`^(/[A-Za-z0-9_~+.-]+)+$`)
	branchPattern = regexp.MustCompile(`^[A-Za-z0-9_+.*-]+(/[A-Za-z0-9_+.*-]+)*$`)
	globPattern   = regexp.MustCompile(`^[A-Za-z0-9_+.*@ -]+(/[A-Za-z0-9_+.*@ -]+)*$`)
)

// maxRemotes bounds what one bottle can declare.
const maxRemotes = 64

// Validate reports the first problem.
func (c Config) Validate() error {
	if len(c.Remotes) > maxRemotes {
		return fmt.Errorf("remotes: %d, at most %d are allowed", len(c.Remotes), maxRemotes)
	}
	seen := map[string]bool{}
	for i, remote := range c.Remotes {
		if err := remote.validate(); err != nil {
			return fmt.Errorf("remotes[%d]: %w", i, err)
		}
		if seen[remote.Name] {
			return fmt.Errorf("remotes[%d]: name: %q is there twice", i, remote.Name)
		}
		seen[remote.Name] = true
	}
	for i, canary := range c.Canaries {
		if len(canary) < minCanary {
			return fmt.Errorf("canaries[%d]: %d bytes, at least %d are needed", i, len(canary), minCanary)
		}
	}
	return c.Limits.validate()
}

// minCanary keeps a canary from being found by chance.
const minCanary = 8

func (l Limits) validate() error {
	for _, n := range []int64{
		l.PushBytes, l.ObjectBytes, l.InflatedBytes, int64(l.Objects), int64(l.Refs),
		int64(l.PushSeconds), int64(l.FetchSeconds), int64(l.WaitSeconds),
	} {
		if n < 0 {
			return errors.New("limits: a negative number")
		}
	}
	if l.Refs > maxCommands {
		return fmt.Errorf("limits: refs: %d, at most %d are allowed", l.Refs, maxCommands)
	}
	return nil
}

func (r Remote) validate() error {
	if err := names.Validate(r.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	switch {
	case !isCanonical(r.Host):
		return fmt.Errorf("host: %.80q is not a canonical host name or IPv4 address", r.Host)
	case r.Port < 1 || r.Port > 65535:
		return fmt.Errorf("port: %d is not a port", r.Port)
	case !userPattern.MatchString(r.User):
		return fmt.Errorf("user: %.80q is not a user name", r.User)
	case !pathPattern.MatchString(r.Path) || strings.Contains(r.Path+"/", "/../") || strings.Contains(r.Path+"/", "/./") || strings.HasPrefix(r.Path, "/-"):
		return fmt.Errorf("path: %.80q is not a plain repository path", r.Path)
	case r.Branches == nil || r.Protect == nil:
		return errors.New("branches or protect is missing: nothing is written as []")
	}
	if _, err := r.HostKey(); err != nil {
		return fmt.Errorf("known_host_key: %w", err)
	}
	for i, pattern := range r.Branches {
		if !branchPattern.MatchString(pattern) || strings.HasPrefix(pattern, "refs/") {
			return fmt.Errorf("branches[%d]: %.80q is not a branch pattern", i, pattern)
		}
	}
	for i, pattern := range r.Protect {
		if !globPattern.MatchString(pattern) {
			return fmt.Errorf("protect[%d]: %.80q is not a path pattern", i, pattern)
		}
	}
	_, err := r.opened()
	return err
}

func isCanonical(host string) bool {
	canonical, err := hostname.Canonical(host)
	return err == nil && canonical == host
}

// HostKey returns the pinned key. The line must be for exactly this host and port.
func (r Remote) HostKey() (ssh.PublicKey, error) {
	host := r.Host
	if r.Port != 22 {
		host = fmt.Sprintf("[%s]:%d", r.Host, r.Port)
	}
	fields := strings.Split(r.KnownHostKey, " ")
	if len(fields) != 3 || fields[0] != host {
		return nil, fmt.Errorf("want one line %q", host+" TYPE KEY")
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(fields[1] + " " + fields[2]))
	if err != nil || len(rest) > 0 || key.Type() != fields[1] || strings.ContainsAny(r.KnownHostKey, "\r\n") {
		return nil, errors.New("the key cannot be read")
	}
	if _, ok := hostKeyAlgorithms(key.Type()); !ok {
		return nil, fmt.Errorf("keys of type %s are not supported", key.Type())
	}
	return key, nil
}

// opened are the private ranges that the remote's host may be in.
func (r Remote) opened() ([]netip.Prefix, error) {
	if r.Private {
		if len(r.AllowPrivate) > 0 {
			return nil, errors.New("allow_private: not beside private")
		}
		return netguard.PrivateRanges(), nil
	}
	var opened []netip.Prefix
	for i, text := range r.AllowPrivate {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !netguard.IsOpenable(prefix) {
			return nil, fmt.Errorf("allow_private[%d]: %.80q is not a private range", i, text)
		}
		opened = append(opened, prefix)
	}
	return opened, nil
}

// url is what git is given; Validate keeps it free of anything that needs escaping.
func (r Remote) url() string { return fmt.Sprintf("ssh://%s@%s:%d%s", r.User, r.Host, r.Port, r.Path) }

// allows reports whether a branch may be pushed to.
func (r Remote) allows(ref string) bool {
	branch, ok := strings.CutPrefix(ref, heads)
	return ok && slices.ContainsFunc(r.Branches, func(pattern string) bool { return matchGlob(pattern, branch) })
}
