package overseer_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/token"
)

// SECURITY-RULES: a daemon is told its own part. Each input has one reader; credentials and
// the authority's key are egress's alone, and ssh keys are nobody's.
func TestEveryDaemonIsToldItsOwnPart(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	all := b.inputsNow()
	for daemon, want := range map[string]string{
		"firewall":  firewall.PipelockFile + " " + firewall.RoutesFile,
		"egress":    "ca-key.pem ca.pem egress.json token.0 token.1",
		"git-gate":  gitgate.ConfigFile,
		"supervise": ask.InputName,
	} {
		if got := names(all[daemon]); got != want {
			t.Errorf("%s gets %q, want %q", daemon, got, want)
		}
	}
	if len(all) != 4 {
		t.Errorf("inputs for %v", slices.Sorted(maps.Keys(all)))
	}
	authority := b.config.Authority.KeyPEM()
	for what, secretOf := range map[string]struct {
		value   string
		readers []string
	}{
		"the token of the API":     {apiToken, []string{"egress"}},
		"the token of the model":   {modelToken, []string{"egress"}},
		"the authority's key":      {authority.Reveal(), []string{"egress"}},
		"the ssh key":              {b.config.Remotes["app"].Key.Reveal(), nil},
		"any private key":          {"PRIVATE KEY", []string{"egress"}},
		"a credential's source":    {"API_TOKEN", nil},
		"a credential's file":      {"/home/me/model.key", nil},
		"the host key of a remote": {b.config.Remotes["app"].KnownHostKey, []string{"git-gate"}},
	} {
		for daemon, inputs := range all {
			if got, want := strings.Contains(shown(inputs), secretOf.value), slices.Contains(secretOf.readers, daemon); got != want {
				t.Errorf("%s is in the inputs of %s: %v, want %v", what, daemon, got, want)
			}
		}
	}
	if inputs := all["egress"]; inputs["token.0"].Reveal() != apiToken || inputs["token.1"].Reveal() != modelToken {
		t.Error("the tokens are not those of their routes")
	}
}

// What a daemon is told is what the daemon understands.
func TestInputsAreUnderstood(t *testing.T) {
	t.Parallel()
	all := newBench(t, nil).inputsNow()
	_, egressErr := egress.Parse([]byte(all["egress"][egress.ConfigInput].Reveal()))
	_, gitErr := gitgate.Parse([]byte(all["git-gate"][gitgate.ConfigFile].Reveal()))
	_, superviseErr := ask.ParsePublic([]byte(all["supervise"][ask.InputName].Reveal()))
	if err := errors.Join(egressErr, gitErr, superviseErr); err != nil {
		t.Error(err)
	}
}

func TestOnlyTheBottlesDaemonsHaveInputs(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) {
		b.config.Plan.Daemons = []string{"firewall"}
		b.config.Authority, b.config.Tokens = nil, nil
	})
	if all := b.inputsNow(); len(all) != 1 || all["firewall"] == nil {
		t.Errorf("inputs for %v", slices.Sorted(maps.Keys(all)))
	}
}

// A route without its token is told by the name of its source, and the bottle starts all the
// same: egress has no token input for it and refuses.
func TestMissingTokenIsToldByItsSource(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) {
		b.tokens.values = map[int]string{1: modelToken}
		b.tokens.missing = map[int]error{0: &token.Error{Source: "env:API_TOKEN", Problem: "is not set"}}
	})
	want := "api.example.com has no credential, so egress will answer 502: env:API_TOKEN is not set"
	if b.told() != want {
		t.Errorf("told %q, want %q", b.told(), want)
	}
	if got := names(b.inputsNow()["egress"]); got != "ca-key.pem ca.pem egress.json token.1" {
		t.Errorf("egress gets %q", got)
	}
	api, model := b.config.Plan.Egress[0], b.config.Plan.Egress[1]
	if _, ok := b.Credential(api); ok {
		t.Error("a missing credential is one")
	}
	if value, ok := b.Credential(model); !ok || value.Reveal() != modelToken {
		t.Error("the model's header is not the token alone")
	}
	if secrets := b.Secrets(); len(secrets) != 1 || secrets[0].Reveal() != modelToken {
		t.Errorf("%d secrets", len(secrets))
	}
}

func TestCredentialIsTheWholeHeader(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if value, ok := b.Credential(b.config.Plan.Egress[0]); !ok || value.Reveal() != "Bearer "+apiToken {
		t.Error("the header is not its scheme and the token")
	}
	if _, ok := b.Credential(b.config.Plan.Egress[2]); ok {
		t.Error("a route without auth has a credential")
	}
}

// An interrupt while tokens are fetched ends the launch with its reason.
func TestInterruptedWhileTokensAreFetched(t *testing.T) {
	t.Parallel()
	b := prepare(t, t.TempDir(), nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	if _, err := overseer.New(ctx, b.config); err == nil || err.Error() != "interrupt signal received" {
		t.Errorf("New() = %v", err)
	}
}

func TestWhatNewRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*bench)
		want   string
	}{
		"a remote without a key": {
			func(b *bench) { b.config.Remotes = nil },
			"reading the ssh key of app: known_host_key is not HOST TYPE KEY",
		},
		"a key that is none": {
			func(b *bench) {
				identity := b.config.Remotes["app"]
				identity.Key = secret.New("hunter2")
				b.config.Remotes["app"] = identity
			},
			"reading the ssh key of app: it is no private key that can be read",
		},
		"approvals that cannot be read": {
			func(b *bench) {
				if err := os.WriteFile(filepath.Join(b.dir, "approved.json"), []byte("{}x"), 0o600); err != nil {
					t.Error(err)
				}
			},
			"reading earlier approvals: reading approved.json: something follows the object",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, t.TempDir(), test.change)
			if _, err := overseer.New(t.Context(), b.config); err == nil || err.Error() != test.want {
				t.Errorf("New() = %v, want %q", err, test.want)
			}
		})
	}
}

func TestInputsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*plan.Plan)
		want   string
	}{
		"a range of the firewall": {
			func(p *plan.Plan) { p.Firewall.Hosts[2].AllowPrivate = []string{"10/8"} },
			`preparing the firewall: reading allow_private of plain.example.com: netip.ParsePrefix("10/8"): ParseAddr("10"): unable to parse IP`,
		},
		"a range of egress": {
			func(p *plan.Plan) { p.Egress[0].AllowPrivate = []string{"10/8"} },
			`preparing the egress: reading allow_private of api.example.com: netip.ParsePrefix("10/8"): ParseAddr("10"): unable to parse IP`,
		},
		"an authority that nobody read": {
			func(p *plan.Plan) { p.Egress[0].UpstreamCA = "/etc/own.pem" },
			"preparing the egress: the upstream_ca of api.example.com has not been read",
		},
		"a host that is no name": {
			func(p *plan.Plan) { p.Egress[0].Host = "API.example.com" },
			`preparing the egress: rendering egress.json: route 0: host "API.example.com": write it in lower case`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(b *bench) { test.change(&b.config.Plan) })
			if _, err := b.Inputs(); err == nil || err.Error() != test.want {
				t.Errorf("Inputs() = %v, want %q", err, test.want)
			}
		})
	}
}

// For pipelock, which dials names itself, a routed name is egress; the builtin engine knows.
func TestHostsFile(t *testing.T) {
	t.Parallel()
	p := basePlan()
	p.Firewall.Hosts = append(p.Firewall.Hosts, plan.Host{Host: "public.example.com", Port: 8443, Scheme: "https", Mode: "routed"})
	if lines := overseer.Hosts(p); len(lines) > 0 {
		t.Errorf("the builtin engine gets %q", lines)
	}
	p.Firewall.Engine = "pipelock"
	want := []string{"api.example.com:127.0.0.2", "models.example.com:127.0.0.2", "public.example.com:127.0.0.2"}
	if lines := overseer.Hosts(p); !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}
