package egress

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
)

// target is what a connection is for: the name of its handshake, and the port that it
// came in by.
type target struct {
	host string
	port uint16
}

// route is a [Route] at work.
type route struct {
	Route
	index     int
	headers   headerRule
	token     tokenBox
	transport *http.Transport
	reach     string        // what the transport was made of
	spent     *atomic.Int64 // of the upload budget; outlives the configuration
}

// snapshot is one configuration with everything made of it. It is immutable but for its
// tokens.
type snapshot struct {
	config   Config
	authKeys [2]string // proxy-auth and authority, to see what changed
	leaves   *ca.Leaves
	routes   map[target]*route
	watch    watch
	missing  []int
}

// newSnapshot reads a set of inputs, all of it or nothing. What did not change keeps its
// connections and leaves.
func (s *Server) newSnapshot(inputs control.Inputs, before *snapshot) (*snapshot, error) {
	config, err := Parse([]byte(inputs[ConfigInput].Reveal()))
	if err != nil {
		return nil, err
	}
	authority, err := ca.Load([]byte(inputs[CertInput].Reveal()), inputs[KeyInput], rand.Reader)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{config: config, routes: map[target]*route{}, watch: newWatch(config)}
	fingerprint := authority.Fingerprint()
	snap.authKeys = [2]string{inputs[ProxyAuthInput].Reveal(), string(fingerprint[:])}
	if before != nil && before.authKeys[1] == snap.authKeys[1] {
		snap.leaves = before.leaves
	} else {
		snap.leaves = ca.NewLeaves(authority, maxRoutes)
	}
	for i, r := range config.Routes {
		rt := &route{Route: r, index: i, headers: newHeaderRule(r), spent: s.spentBy(r)}
		if r.Auth != nil {
			token := inputs[TokenInput(i)]
			if err := checkToken(token); err != nil {
				rt.token.problem = "its credential cannot be used: " + err.Error()
				if token.IsEmpty() {
					rt.token.problem = "its credential is missing on the host"
				}
				snap.missing = append(snap.missing, i)
			} else {
				rt.token.set(token)
			}
		}
		if err := s.connectRoute(rt, snap, before); err != nil {
			return nil, fmt.Errorf("route %d: %w", i, err)
		}
		snap.routes[target{r.Host, r.Port}] = rt
	}
	return snap, nil
}

// connectRoute gives the route a transport: the old one where nothing about the way to
// the host changed, for its connections were judged by the same rules.
func (s *Server) connectRoute(rt *route, snap, before *snapshot) error {
	reach, err := json.Marshal([]any{rt.Host, rt.Port, rt.opened(), rt.UpstreamCA, snap.config.UpstreamProxy, snap.authKeys[0]})
	if err != nil {
		return err
	}
	rt.reach = string(reach)
	if before != nil {
		if old := before.routes[target{rt.Host, rt.Port}]; old != nil && old.reach == rt.reach {
			rt.transport = old.transport
			return nil
		}
	}
	rt.transport, err = s.newTransport(rt.Route, snap.config.UpstreamProxy, snap.authKeys[0])
	return err
}

// ports that the routes need, in order.
func (snap *snapshot) ports() []uint16 {
	var ports []uint16
	for t := range snap.routes {
		ports = append(ports, t.port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// allows reports whether an exchange may go on under this snapshot, which followed
// before.
func (snap *snapshot) allows(e *exchange, before *snapshot) bool {
	now, old := snap.routes[e.target], before.routes[e.target]
	if now == nil || (old != nil && old.transport != now.transport) {
		return false
	}
	return Decide(now.Route, e.head) == nil
}

// greet chooses the leaf of a handshake; without a routed name there is none.
func (s *Server) greet(hello *tls.ClientHelloInfo, port uint16) (*snapshot, target, *Refusal) {
	snap := s.snapshot.Load()
	if hello.ServerName == "" {
		return nil, target{port: port}, refuse(RuleSNI, "port %d: the handshake names no host (SNI)", port)
	}
	host, err := hostname.Canonical(hello.ServerName)
	to := target{host, port}
	if err != nil || snap.routes[to] == nil {
		name := printable.ASCII(hello.ServerName, 80)
		return nil, target{name, port}, refuse(RuleSNI, "%s:%d has no route", name, port)
	}
	return snap, to, nil
}

func (s *Server) tlsConfig(port uint16) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Here and not in GetCertificate, which a resumed session does not ask.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if _, to, refused := s.greet(hello, port); refused != nil {
				s.journal.Write(line{Event: eventDeny, Host: to.host, Port: port, Rule: refused.Rule, Reason: refused.Reason})
				return nil, refused
			}
			return nil, nil //nolint:nilnil // tls: go on with this configuration
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			snap, to, refused := s.greet(hello, port)
			if refused != nil {
				return nil, refused
			}
			leaf, err := snap.leaves.Get(to.host)
			if err != nil {
				return nil, err
			}
			return &leaf.TLS, nil
		},
	}
}
