package firewall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/goccy/go-yaml"
)

// The inputs of the firewall.
const (
	PipelockFile = "pipelock.yaml"
	RoutesFile   = "routes.json"
)

// nothingAllowed stands in pipelock's allowlist for an empty policy: pipelock refuses
// an empty list in strict mode, and a .invalid name (RFC 2606) never has an address.
const nothingAllowed = "nothing-is-allowed.invalid"

// tunnelSeconds is long because pipelock 2.3.0 counts each direction of a tunnel for
// itself, so that a long answer to a silent client would be cut.
const tunnelSeconds = 86400

// perMinute is what both engines take of requests and new tunnels to one host.
const perMinute = 100_000

const routesVersion = 2

// File is one rendered file.
type File struct {
	Name string
	Data []byte
}

// pipelockConfig is the part of pipelock 2.3.0's strict configuration that bottle
// writes, in writing order. Booleans are pointers so that an absent key, which pipelock
// would fill with a default of its own, is not taken for false.
type pipelockConfig struct {
	Version             int          `yaml:"version"`
	Mode                string       `yaml:"mode"`
	Enforce             *bool        `yaml:"enforce"`
	APIAllowlist        []string     `yaml:"api_allowlist"`
	FetchProxy          fetchProxy   `yaml:"fetch_proxy"`
	ForwardProxy        forwardProxy `yaml:"forward_proxy"`
	RequestBodyScanning bodyScan     `yaml:"request_body_scanning"`
	ResponseScanning    answerScan   `yaml:"response_scanning"`
	DLP                 dlp          `yaml:"dlp"`
	SSRF                *ssrf        `yaml:"ssrf,omitempty"`
	Logging             logging      `yaml:"logging"`
	MetricsListen       string       `yaml:"metrics_listen"`
	Sentry              sentry       `yaml:"sentry"`
}

type fetchProxy struct {
	Listen         string     `yaml:"listen"`
	TimeoutSeconds int        `yaml:"timeout_seconds"`
	Monitoring     monitoring `yaml:"monitoring"`
}

type monitoring struct {
	MaxURLLength         int `yaml:"max_url_length"`
	MaxRequestsPerMinute int `yaml:"max_requests_per_minute"`
}

type forwardProxy struct {
	Enabled            *bool `yaml:"enabled"`
	MaxTunnelSeconds   int   `yaml:"max_tunnel_seconds"`
	IdleTimeoutSeconds int   `yaml:"idle_timeout_seconds"`
	SNIVerification    *bool `yaml:"sni_verification"`
}

type bodyScan struct {
	Enabled      *bool  `yaml:"enabled"`
	Action       string `yaml:"action"`
	MaxBodyBytes int    `yaml:"max_body_bytes"`
	ScanHeaders  *bool  `yaml:"scan_headers"`
	HeaderMode   string `yaml:"header_mode"`
}

type answerScan struct {
	Enabled *bool  `yaml:"enabled"`
	Action  string `yaml:"action"`
}

type dlp struct {
	IncludeDefaults *bool `yaml:"include_defaults"`
	ScanEnv         *bool `yaml:"scan_env"`
}

type ssrf struct {
	IPAllowlist []string `yaml:"ip_allowlist"`
}

type logging struct {
	Format         string `yaml:"format"`
	Output         string `yaml:"output"`
	IncludeAllowed *bool  `yaml:"include_allowed"`
	IncludeBlocked *bool  `yaml:"include_blocked"`
}

type sentry struct {
	Enabled *bool `yaml:"enabled"`
}

// routesFile holds what pipelock's configuration cannot say: ports, schemes, modes, and
// which host may be private. The gate in front of either engine reads it.
type routesFile struct {
	Version  int      `json:"version"`
	Bottle   string   `json:"bottle"`
	Routes   []Host   `json:"routes"`
	Canaries []string `json:"canaries,omitempty"` // what the builtin engine and the gate look for
}

// Render writes the inputs of a policy. It is pure: the same policy, in
// whatever order, gives the same bytes. A policy that is not valid is an error.
//
// An empty policy renders an allowlist with one name that cannot exist, and no routes.
func Render(policy Policy) ([]File, error) {
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	policy = policy.sorted()
	config, err := marshalPipelock(expectedPipelock(policy))
	if err != nil {
		return nil, err
	}
	routes, err := marshalRoutes(policy)
	if err != nil {
		return nil, err
	}
	header := "# Written by bottle for pipelock 2.3.0 and for the builtin firewall. Changes by hand are refused.\n"
	return []File{{PipelockFile, append([]byte(header), config...)}, {RoutesFile, routes}}, nil
}

func expectedPipelock(policy Policy) pipelockConfig {
	yes, no := new(bool), new(bool)
	*yes = true
	config := pipelockConfig{
		Version: 1, Mode: "strict", Enforce: yes, APIAllowlist: policy.allowlist(),
		FetchProxy: fetchProxy{
			Listen: DefaultListen, TimeoutSeconds: 600,
			Monitoring: monitoring{MaxURLLength: maxURL, MaxRequestsPerMinute: perMinute},
		},
		ForwardProxy: forwardProxy{
			Enabled: yes, MaxTunnelSeconds: tunnelSeconds, IdleTimeoutSeconds: tunnelSeconds, SNIVerification: yes,
		},
		RequestBodyScanning: bodyScan{
			Enabled: yes, Action: "block", MaxBodyBytes: 32 << 20, ScanHeaders: yes, HeaderMode: "all",
		},
		ResponseScanning: answerScan{Enabled: yes, Action: "block"},
		DLP:              dlp{IncludeDefaults: yes, ScanEnv: no},
		Logging:          logging{Format: "json", Output: "stdout", IncludeAllowed: yes, IncludeBlocked: yes},
		MetricsListen:    "127.0.0.1:9990",
		Sentry:           sentry{Enabled: no},
	}
	if opened := policy.Opened(); len(opened) > 0 {
		config.SSRF = &ssrf{IPAllowlist: opened}
	}
	return config
}

// Opened is the addresses beyond the public ones that pipelock may dial for a policy, in
// the order of the file: what routes open, and egress when there is a routed one.
func (p Policy) Opened() []string {
	var opened []string
	for _, host := range p.Hosts {
		if host.Mode == Routed {
			opened = append(opened, netip.PrefixFrom(DefaultEgress(), 32).String())
		}
		for _, prefix := range host.opened() {
			opened = append(opened, prefix.String())
		}
	}
	slices.Sort(opened)
	return slices.Compact(opened)
}

// allowlist is what pipelock sees of a policy: hosts, each once.
func (p Policy) allowlist() []string {
	if len(p.Hosts) == 0 {
		return []string{nothingAllowed}
	}
	hosts := make([]string, 0, len(p.Hosts))
	for _, host := range p.Hosts {
		hosts = append(hosts, host.Host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func marshalPipelock(config pipelockConfig) ([]byte, error) {
	data, err := yaml.MarshalWithOptions(config, yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", PipelockFile, err)
	}
	return data, nil
}

func marshalRoutes(policy Policy) ([]byte, error) {
	file := routesFile{Version: routesVersion, Bottle: policy.Bottle, Routes: policy.Hosts, Canaries: policy.Canaries}
	if file.Routes == nil {
		file.Routes = []Host{}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(file); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", RoutesFile, err)
	}
	return out.Bytes(), nil
}
