package firewall_test

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bottle.internal/internal/control"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/golden"
)

func ranged() firewall.Policy {
	p := policy()
	p.Hosts[0].AllowPrivate = []netip.Prefix{netip.MustParsePrefix("100.64.1.0/24"), netip.MustParsePrefix("10.9.0.0/16")}
	p.Hosts[1].AllowPrivate = slices.Clone(p.Hosts[0].AllowPrivate)
	return p
}

func publicOnly() firewall.Policy {
	return firewall.Policy{Bottle: "dev", Hosts: []firewall.Host{{Host: "api.example.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain}}}
}

func routed() firewall.Policy {
	p := publicOnly()
	p.Hosts = append(p.Hosts, firewall.Host{Host: "llm.example.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Routed})
	return p
}

func withCanaries(p firewall.Policy) firewall.Policy {
	p.Canaries = []string{fakeKey, fakeToken}
	return p
}

func policies() map[string]firewall.Policy {
	return map[string]firewall.Policy{
		"empty": {}, "public": publicOnly(), "mixed": policy(), "ranges": ranged(), "routed": routed(), "canaries": withCanaries(publicOnly()),
	}
}

func render(t *testing.T, p firewall.Policy) control.Inputs {
	t.Helper()
	files, err := firewall.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	inputs := control.Inputs{}
	for _, file := range files {
		inputs[file.Name] = secret.New(string(file.Data))
	}
	return inputs
}

// texts makes inputs comparable.
func texts(inputs control.Inputs) map[string]string {
	all := map[string]string{}
	for name, value := range inputs {
		all[name] = value.Reveal()
	}
	return all
}

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	for name, p := range policies() {
		for file, data := range texts(render(t, p)) {
			golden.Check(t, filepath.Join("testdata", name, file), data)
		}
	}
}

func TestRenderIgnoresOrder(t *testing.T) {
	t.Parallel()
	reversed := ranged()
	slices.Reverse(reversed.Hosts)
	for i := range reversed.Hosts {
		slices.Reverse(reversed.Hosts[i].AllowPrivate)
	}
	before := slices.Clone(reversed.Hosts)
	if diff := cmp.Diff(texts(render(t, ranged())), texts(render(t, reversed))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, reversed.Hosts, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("Render changed its argument: %s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, p := range policies() {
		loaded, err := firewall.Load(render(t, p))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(texts(render(t, p)), texts(render(t, loaded))); diff != "" || len(loaded.Hosts) != len(p.Hosts) {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLoadTakesOtherWhitespace(t *testing.T) {
	t.Parallel()
	inputs := render(t, policy())
	yaml := inputs[firewall.PipelockFile].Reveal()
	inputs[firewall.PipelockFile] = secret.New("# a comment\n\n" + strings.ReplaceAll(yaml, "mode: strict", `mode:   "strict"`))
	if _, err := firewall.Load(inputs); err != nil {
		t.Error(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const yaml, routes = firewall.PipelockFile, firewall.RoutesFile
	for _, test := range []struct{ name, file, old, new, want string }{
		{"unknown key", yaml, "mode: strict", "mode: strict\nmod: x", `reading pipelock.yaml: [4:1] unknown field "mod"`},
		{"unknown inner key", yaml, "  listen:", "  listne: x\n  listen:", `reading pipelock.yaml: [8:3] unknown field "listne"`},
		{"key twice", yaml, "mode: strict", "mode: strict\nmode: strict", `reading pipelock.yaml: [4:1] mapping key "mode" already defined at [3:1]`},
		{"wrong type", yaml, "version: 1", "version: [1]", "reading pipelock.yaml: [2:10] cannot unmarshal []interface {} into Go struct field pipelockConfig.Version of type int"},
		{"no yaml", yaml, "version: 1", "\t{", "reading pipelock.yaml: [4:1] ',' or '}' must be specified"},
		{"second document", yaml, "sentry:\n  enabled: false\n", "sentry:\n  enabled: false\n---\nmode: audit\n", "reading pipelock.yaml: a second YAML document"},
		{"another mode", yaml, "mode: strict", "mode: balanced", `reading pipelock.yaml: mode is "balanced", only strict is understood`},
		{"no mode", yaml, "mode: strict\n", "", `reading pipelock.yaml: mode is "", only strict is understood`},
		{"empty allowlist", yaml, "api_allowlist:\n  - api.example.test\n", "api_allowlist: []\n", `reading pipelock.yaml: api_allowlist is empty, nothing allowed is written as "nothing-is-allowed.invalid"`},
		{"another host", yaml, "- api.example.test", "- evil.test", `pipelock.yaml and routes.json disagree: the allowlist is ["evil.test"], the routes need ["api.example.test"]`},
		{"one host more", yaml, "- api.example.test", "- api.example.test\n  - evil.test", `pipelock.yaml and routes.json disagree: the allowlist is ["api.example.test" "evil.test"], the routes need ["api.example.test"]`},
		{"not enforced", yaml, "enforce: true", "enforce: false", `reading pipelock.yaml: "enforce: false" where these routes need "enforce: true"`},
		{"telemetry", yaml, "sentry:\n  enabled: false", "sentry:\n  enabled: true", `reading pipelock.yaml: "enabled: true" where these routes need "enabled: false"`},
		{"telemetry by default", yaml, "sentry:\n  enabled: false\n", "", `reading pipelock.yaml: "enabled: null" where these routes need "enabled: false"`},
		{"no sni", yaml, "sni_verification: true", "sni_verification: false", `reading pipelock.yaml: "sni_verification: false" where these routes need "sni_verification: true"`},
		{"addresses opened", yaml, "logging:", "ssrf:\n  ip_allowlist:\n    - 127.0.0.0/8\nlogging:", `reading pipelock.yaml: "ssrf:" where these routes need "logging:"`},
		{"agent-readable metrics", yaml, "metrics_listen: 127.0.0.1:9990\n", "", `reading pipelock.yaml: "metrics_listen: \"\"" where these routes need "metrics_listen: 127.0.0.1:9990"`},

		{"no json", routes, "{", "", "reading routes.json: json: cannot unmarshal string into Go value of type firewall.routesFile"},
		{"unknown field", routes, `"version": 2`, `"version": 2, "open": true`, `reading routes.json: json: unknown field "open"`},
		{"another version", routes, `"version": 2`, `"version": 1`, "reading routes.json: version 1, only 2 is understood"},
		{"no mode", routes, `      "mode": "plain",` + "\n", "", `reading routes.json: checking route 1: api.example.test:443: mode "" is neither plain nor routed`},
		{"routed by hand", routes, `"mode": "plain"`, `"mode": "routed"`, `reading pipelock.yaml: "logging:" where these routes need "ssrf:"`},
		{"field twice", routes, `"private": false`, `"private": true, "private": false`, "reading routes.json: it is not in the form that bottle writes"},
		{"field in other case", routes, `"private"`, `"PRIVATE"`, "reading routes.json: it is not in the form that bottle writes"},
		{"more behind", routes, "\n}\n", "\n}\n{}", "reading routes.json: it is not in the form that bottle writes"},
		{"private by hand", routes, `"private": false`, `"private": true`, `reading pipelock.yaml: "logging:" where these routes need "ssrf:"`},
		{"another host's route", routes, `"api.example.test"`, `"evil.test"`, `pipelock.yaml and routes.json disagree: the allowlist is ["api.example.test"], the routes need ["evil.test"]`},
		{"bad host", routes, `"api.example.test"`, `"127.1"`, `reading routes.json: checking route 1: host "127.1": the host ends in a number and is no plain IPv4 address`},
		{"bundle port", routes, "443", "9990", "reading routes.json: checking route 1: api.example.test:9990: port 9990 belongs to the bundle"},
	} {
		inputs := render(t, publicOnly())
		text := inputs[test.file].Reveal()
		if !strings.Contains(text, test.old) {
			t.Errorf("%s: %q is not in the file", test.name, test.old)
		}
		inputs[test.file] = secret.New(strings.Replace(text, test.old, test.new, 1))
		p, err := firewall.Load(inputs)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.name, err, test.want)
		}
		if len(p.Hosts) != 0 {
			t.Errorf("%s: a refused config gave a policy", test.name)
		}
	}
}

func TestLoadRefusesInputs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{firewall.PipelockFile, firewall.RoutesFile} {
		for why, change := range map[string]func(control.Inputs){
			"reading " + name + ": there is no such input": func(inputs control.Inputs) { delete(inputs, name) },
			"reading " + name + ": 524289 bytes, at most 524288 are allowed": func(inputs control.Inputs) {
				inputs[name] = secret.New(strings.Repeat(" ", control.MaxInputs+1))
			},
			`reading the inputs: "pipelock.yml" is not known`: func(inputs control.Inputs) { inputs["pipelock.yml"] = secret.Value{} },
		} {
			inputs := render(t, policy())
			change(inputs)
			if _, err := firewall.Load(inputs); err == nil || err.Error() != why {
				t.Errorf("%s: %v, want %s", name, err, why)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	host := firewall.Host{Host: "a.test", Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain}
	with := func(change func(*firewall.Host)) firewall.Policy {
		h := host
		change(&h)
		return firewall.Policy{Hosts: []firewall.Host{h}}
	}
	opens := func(cidr string) firewall.Policy {
		return with(func(h *firewall.Host) { h.AllowPrivate = []netip.Prefix{netip.MustParsePrefix(cidr)} })
	}
	private := host
	private.Port, private.Private = 8443, true
	direct := host
	direct.Port, direct.Mode = 8443, firewall.Routed
	many := firewall.Policy{Hosts: make([]firewall.Host, 1025)}
	for want, p := range map[string]firewall.Policy{
		`checking the bottle's name: invalid name "Dev": it must begin with a letter from a to z`:           {Bottle: "Dev"},
		"checking routes: 1025 of them, at most 1024 are allowed":                                           many,
		"checking route 2: a.test:443 is there twice":                                                       {Hosts: []firewall.Host{host, host}},
		"checking route 2: a.test has other private addresses on another port":                              {Hosts: []firewall.Host{host, private}},
		"checking route 2: a.test is plain on another port":                                                 {Hosts: []firewall.Host{host, direct}},
		`checking route 1: a.test:443: mode "" is neither plain nor routed`:                                 with(func(h *firewall.Host) { h.Mode = "" }),
		`checking route 1: a.test:443: a routed host is https, not http`:                                    with(func(h *firewall.Host) { h.Mode, h.Scheme = firewall.Routed, firewall.HTTP }),
		`checking route 1: 10.0.0.1:443: a routed host is a name, not an address`:                           with(func(h *firewall.Host) { h.Mode, h.Host = firewall.Routed, "10.0.0.1" }),
		`checking route 1: a.test:9080: port 9080 belongs to egress`:                                        with(func(h *firewall.Host) { h.Mode, h.Port = firewall.Routed, 9080 }),
		`checking route 1: host "A.test": write it in lower case`:                                           with(func(h *firewall.Host) { h.Host = "A.test" }),
		`checking route 1: host "a.test.": a trailing dot is not allowed`:                                   with(func(h *firewall.Host) { h.Host = "a.test." }),
		`checking route 1: host "nothing-is-allowed.invalid" is reserved: it stands for an empty allowlist`: with(func(h *firewall.Host) { h.Host = "nothing-is-allowed.invalid" }),
		`checking route 1: host "a.test" has no port`:                                                       with(func(h *firewall.Host) { h.Port = 0 }),
		`checking route 1: a.test:8888: port 8888 belongs to the bundle`:                                    with(func(h *firewall.Host) { h.Port = 8888 }),
		`checking route 1: a.test:9100: port 9100 belongs to the bundle`:                                    with(func(h *firewall.Host) { h.Port = 9100 }),
		`checking route 1: a.test:9420: port 9420 belongs to the bundle`:                                    with(func(h *firewall.Host) { h.Port = 9420 }),
		`checking route 1: a.test:443: scheme "ftp" is neither https nor http`:                              with(func(h *firewall.Host) { h.Scheme = "ftp" }),
		`checking route 1: a.test:443: allow_private "10.1.2.3/8" is no private range in canonical form`:    opens("10.1.2.3/8"),
		`checking route 1: a.test:443: allow_private "10.0.0.0/7" is no private range in canonical form`:    opens("10.0.0.0/7"),
		`checking route 1: a.test:443: allow_private "127.0.0.0/8" is no private range in canonical form`:   opens("127.0.0.0/8"),
		`checking route 1: a.test:443: allow_private "1.2.3.0/24" is no private range in canonical form`:    opens("1.2.3.0/24"),
		`checking route 1: a.test:443: private and allow_private exclude each other`: with(func(h *firewall.Host) {
			h.Private, h.AllowPrivate = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}),
	} {
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := firewall.Render(p); err == nil {
			t.Errorf("rendered in spite of: %s", want)
		}
		if _, err := firewall.NewServer(firewall.Config{Policy: p}); err == nil {
			t.Errorf("a server in spite of: %s", want)
		}
	}
}

// No bytes make Load panic, and what it takes renders back to the same routes.
func FuzzLoad(f *testing.F) {
	files, err := firewall.Render(policy())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files[0].Data, files[1].Data)
	f.Add([]byte("a: &a [*a]"), []byte("{}"))
	f.Fuzz(func(t *testing.T, yaml, routes []byte) {
		p, err := firewall.Load(control.Inputs{
			firewall.PipelockFile: secret.New(string(yaml)), firewall.RoutesFile: secret.New(string(routes)),
		})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("not one plain line: %q", err)
			}
			return
		}
		if again := render(t, p); !bytes.Equal([]byte(again[firewall.RoutesFile].Reveal()), routes) {
			t.Error("the routes came out otherwise")
		}
	})
}
