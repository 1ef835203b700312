package launch

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
)

// trustLifetime is how long a launch's certificates are valid.
const trustLifetime = 7 * 24 * time.Hour

// trust is what this launch signs with, and who believes it.
type trust struct {
	certs   [][]byte      // PEM, for the guest
	egress  *ca.Authority // signs what egress shows to the guest; nil without egress
	echoCA  []byte        // PEM; empty without an echo upstream
	echo    []echo.Cert   // of the echo upstream, one for each of its names
	git     *echo.Git     // its ssh half; nil without echo remotes
	remotes map[string]overseer.Identity
}

func newTrust(p plan.Plan, now time.Time) (trust, error) {
	var t trust
	if slices.Contains(p.Daemons, daemons.Egress) {
		authority, err := ca.New("bottle "+p.Identity, trustLifetime, now, rand.Reader)
		if err != nil {
			return trust{}, err
		}
		t.egress, t.certs = authority, append(t.certs, authority.CertPEM())
	}
	if len(p.Echo) == 0 {
		return t, nil
	}
	authority, err := ca.New("bottle "+p.Identity+" echo upstream", trustLifetime, now, rand.Reader)
	if err != nil {
		return trust{}, err
	}
	// egress trusts it for its routes; the guest only where it speaks TLS with the echo itself.
	t.echoCA = authority.CertPEM()
	if slices.ContainsFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Mode == "plain" && slices.Contains(p.Echo, h.Host) }) {
		t.certs = append(t.certs, t.echoCA)
	}
	for _, name := range p.Echo {
		leaf, err := authority.Leaf(name)
		if err != nil {
			return trust{}, fmt.Errorf("making the echo upstream's certificate: %w", err)
		}
		t.echo = append(t.echo, echo.Cert{Cert: leaf.CertPEM, Key: leaf.KeyPEM})
	}
	err = t.addRepositories(p) // before t is copied
	return t, err
}

// addRepositories makes the two ssh keys of the echo's git remotes: the server's, and the
// one that may log in, which the host keeps.
func (t *trust) addRepositories(p plan.Plan) error {
	var names []string
	for _, remote := range p.Git.Remotes {
		if remote.Echo {
			names = append(names, strings.TrimPrefix(remote.Path, "/"))
		}
	}
	if len(names) == 0 {
		return nil
	}
	hostKey, hostLine, err := echo.NewKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making the echo upstream's ssh key: %w", err)
	}
	userKey, userLine, err := echo.NewKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making the echo upstream's ssh key: %w", err)
	}
	t.git = &echo.Git{Listen: ":22", HostKey: hostKey, AuthorizedKey: userLine, Repositories: names}
	t.remotes = map[string]overseer.Identity{}
	for _, remote := range p.Git.Remotes {
		if remote.Echo {
			t.remotes[remote.Name] = overseer.Identity{Key: userKey, KnownHostKey: remote.Host + " " + hostLine}
		}
	}
	return nil
}

// echoListen is where the echo upstream listens in its container.
const echoListen = ":443"

// echoBootstrap is what the echo upstream reads from its stdin. It learns of the expected
// credentials by their hash.
func (b *Bottle) echoBootstrap() ([]byte, error) {
	boot := echo.Bootstrap{Listen: echoListen, Certs: b.trust.echo, Git: b.trust.git, Credentials: map[string]echo.Credential{}, Model: modelOf(b.plan)}
	for _, route := range b.plan.Egress {
		if route.Auth == nil || !slices.Contains(b.plan.Echo, route.Host) {
			continue
		}
		if value, ok := b.overseer.Credential(route); ok {
			boot.Credentials[route.Host] = echo.Expect(route.Auth.Header, value)
		}
	}
	if boot.Model != nil {
		if _, known := boot.Credentials[boot.Model.Host]; !known {
			boot.Model = nil // egress has no credential either and answers 502
		}
	}
	return boot.Stdin()
}
