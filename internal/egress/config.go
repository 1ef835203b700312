package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"

	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
)

// The names of the inputs. Token i, "token.0" and so on, is that of route i; it may be
// absent.
const (
	ConfigInput    = "egress.json"
	CertInput      = "ca.pem"
	KeyInput       = "ca-key.pem"
	ProxyAuthInput = "proxy-auth" // user:password for the upstream proxy; optional
)

// TokenInput is the name of the token of the route at index.
func TokenInput(index int) string { return "token." + strconv.Itoa(index) }

const configVersion = 1

// Policies for canaries.
const (
	CanaryCut  = "cut"  // the request is refused, or ended where it was found
	CanaryWarn = "warn" // it is only logged
)

// Config is egress.json: all that egress knows about a bottle but its keys and tokens.
type Config struct {
	// Version is 1; [Render] sets it.
	Version int `json:"version"`
	// Placeholder stands in the guest for every credential; at least 8 bytes, or "".
	Placeholder string `json:"placeholder"`
	// Canaries are planted in the guest and belong nowhere else; each at least 8 bytes.
	Canaries []string `json:"canaries"`
	// OnCanary is [CanaryCut], also when it is "", or [CanaryWarn].
	OnCanary string `json:"on_canary"`
	// UpstreamProxy is http://host:port of a proxy that every upstream is reached through
	// by CONNECT, or "". It resolves the names then, and no address is judged but its own.
	UpstreamProxy string `json:"upstream_proxy"`
	// UploadBudget bounds what all routes together send, in bytes for the life of the
	// daemon; 0 means 64 GiB.
	UploadBudget int64 `json:"upload_budget"`
	// Routes are found by their index, which also names their tokens.
	Routes []Route `json:"routes"`
}

// Route is one host and port.
type Route struct {
	Host string `json:"host"` // canonical, no address
	Port uint16 `json:"port"`
	// Methods and Paths are what is allowed. Paths are prefixes that end at a segment
	// border: "/v1" allows /v1 and /v1/x, not /v10.
	Methods []string `json:"methods"`
	Paths   []string `json:"paths"`
	// Auth is the credential; without one only POST, PUT and PATCH have bodies, and a URL
	// has at most 2 KiB.
	Auth *Auth `json:"auth,omitempty"`
	// Provider marks a host that is shown what the agent reads, such as a model's: the
	// placeholder, or a canary in a body, is only logged.
	Provider bool `json:"provider"`
	// Private admits every RFC 1918 and unique local address, AllowPrivate single ranges.
	Private      bool           `json:"private"`
	AllowPrivate []netip.Prefix `json:"allow_private,omitempty"`
	WebSocket    bool           `json:"websocket"`
	PassHeaders  []string       `json:"pass_headers"`
	AllowMint    bool           `json:"allow_mint"`
	// UpstreamCA is PEM and replaces the system's authorities; "" keeps them.
	UpstreamCA string `json:"upstream_ca,omitempty"`
	// UploadBudget bounds what the route sends, in bytes for the life of the daemon; 0
	// means 64 MiB without a credential and 16 GiB with one.
	UploadBudget int64 `json:"upload_budget"`
}

// Auth says how a token is sent.
type Auth struct {
	Header string `json:"header"` // canonical
	Scheme string `json:"scheme"` // "" sends the token alone
}

// String is host:port.
func (r Route) String() string { return r.Host + ":" + strconv.Itoa(int(r.Port)) }

func (r Route) opened() []netip.Prefix {
	if r.Private {
		return netguard.PrivateRanges()
	}
	return r.AllowPrivate
}

// Render writes egress.json. It is pure; a configuration that is not valid is an error.
func Render(config Config) ([]byte, error) {
	config.Version = configVersion
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", ConfigInput, err)
	}
	return marshal(config)
}

// Parse reads egress.json and fails closed: what [Render] would not have written is an
// error of one line.
func Parse(data []byte) (Config, error) {
	var config Config
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("reading %s: %s", ConfigInput, why(err))
	}
	if config.Version != configVersion {
		return Config{}, fmt.Errorf("reading %s: version %d, only %d is understood", ConfigInput, config.Version, configVersion)
	}
	if err := config.validate(); err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", ConfigInput, err)
	}
	want, err := marshal(config)
	if err != nil {
		return Config{}, err
	}
	// Doubled keys, other spellings of keys, trailing data: all of them differ here.
	if !bytes.Equal(data, want) {
		return Config{}, fmt.Errorf("reading %s: it is not in the form that bottle writes", ConfigInput)
	}
	return config, nil
}

// why tells a decoder's problem without the values of the file.
func why(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return fmt.Sprintf("%s cannot be a %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return printable.ASCII(err.Error(), 120)
}

func marshal(config Config) ([]byte, error) {
	// null and [] are one thing here, and written as one.
	config.Canaries = listed(config.Canaries)
	config.Routes = listed(config.Routes)
	for i, r := range config.Routes {
		r.Methods, r.Paths, r.PassHeaders = listed(r.Methods), listed(r.Paths), listed(r.PassHeaders)
		config.Routes[i] = r
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(config); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", ConfigInput, err)
	}
	return out.Bytes(), nil
}

func listed[T any](list []T) []T { return append([]T{}, slices.Clone(list)...) }
