package launch

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/plan"
)

// trustLifetime is how long a launch's certificates are valid.
const trustLifetime = 7 * 24 * time.Hour

// trust is what this launch signs and what the guest trusts because of it. Without an
// echo upstream it is empty: the guest trusts its system store alone.
type trust struct {
	certs [][]byte // PEM, for the guest
	leaf  ca.Leaf  // of the echo upstream
}

func newTrust(p plan.Plan, now time.Time) (trust, error) {
	if len(p.Echo) == 0 {
		return trust{}, nil
	}
	authority, err := ca.New("bottle "+p.Identity+" echo upstream", trustLifetime, now, rand.Reader)
	if err != nil {
		return trust{}, err
	}
	// The certificate names the listed host: nobody gets to speak TLS with the other.
	host := p.Echo[0]
	for _, name := range p.Echo {
		if slices.ContainsFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name }) {
			host = name
			break
		}
	}
	leaf, err := authority.Leaf(host)
	if err != nil {
		return trust{}, fmt.Errorf("making the echo upstream's certificate: %w", err)
	}
	return trust{certs: [][]byte{authority.CertPEM()}, leaf: leaf}, nil
}

// echoListen is where the echo upstream listens in its container.
const echoListen = ":443"

// echoBootstrap is what the echo upstream reads from its stdin.
func (t trust) echoBootstrap() ([]byte, error) {
	return echo.Bootstrap{Listen: echoListen, Cert: t.leaf.CertPEM, Key: t.leaf.KeyPEM}.Stdin()
}
