//go:build integration && linux

package escape

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// place is an address that no guest may reach, with a network that holds it. The networks
// exist on this machine alone, so nothing is sent anywhere; while they do, what this host
// itself asks of these addresses ends there too.
type place struct{ what, subnet, gateway, address string }

// places are what the receipt calls foreign: documentation (RFC 5737, RFC 3849), the gateway
// of smolvm's own network, and clouds' metadata. 192.0.2.0/24 is left to the hosts that use
// it.
func places() []place {
	return []place{
		{"documentation", "198.51.100.0/28", "198.51.100.14", "198.51.100.1"},
		{"documentation", "203.0.113.0/28", "203.0.113.14", "203.0.113.1"},
		{"smolvm's gateway", "100.96.0.0/28", "100.96.0.14", "100.96.0.1"},
		{"metadata", "169.254.169.248/29", "169.254.169.249", "169.254.169.254"},
		{"documentation v6", "2001:db8:b077::/64", "2001:db8:b077::e", "2001:db8:b077::1"},
	}
}

// startOutside runs one container that is alive at all of the places.
func (s *scene) startOutside(ctx context.Context) (*testcontainers.DockerContainer, error) {
	container, err := s.Beside(ctx, s.program,
		testcontainers.WithCmd("serve", "outside.bottle.test"),
		testcontainers.WithLabels(map[string]string{label: "escape"}),
	)
	if err != nil {
		return container, err
	}
	for i, p := range places() {
		if err := s.join(ctx, fmt.Sprintf("bottle-escape-%d", i), container.GetContainerID(), p); err != nil {
			return container, fmt.Errorf("%s: %w", p.address, err)
		}
	}
	return container, nil
}

func (s *scene) join(ctx context.Context, name, container string, p place) error {
	subnet, err := netip.ParsePrefix(p.subnet)
	gateway, gatewayErr := netip.ParseAddr(p.gateway)
	address, addressErr := netip.ParseAddr(p.address)
	if err := errors.Join(err, gatewayErr, addressErr); err != nil {
		return err
	}
	six := address.Is6()
	ipam := &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet, Gateway: gateway}}}
	endpoint := &network.EndpointIPAMConfig{IPv4Address: address}
	if six {
		endpoint = &network.EndpointIPAMConfig{IPv6Address: address}
	}
	_, err = s.engine.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver: "bridge", EnableIPv6: &six, IPAM: ipam, Labels: map[string]string{label: "escape"},
	})
	if err != nil {
		return err
	}
	_, err = s.engine.NetworkConnect(ctx, name, client.NetworkConnectOptions{
		Container: container, EndpointConfig: &network.EndpointSettings{IPAMConfig: endpoint},
	})
	return err
}

// packetTo sends a datagram from this host and waits for the answer.
func packetTo(t *testing.T, address string) func() (string, error) {
	return func() (string, error) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := conn.Write([]byte("control")); err != nil {
			return "", err
		}
		_, err = conn.Read(make([]byte, 16))
		return "answered the host", err
	}
}
