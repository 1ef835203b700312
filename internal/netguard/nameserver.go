package netguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// Nameserver is a [Resolver] that asks the servers of resolv.conf directly. The hosts file
// is never read: in the bundle it leads routed names back to egress. Nor is the search
// list: only the very name that was allowed is asked for.
type Nameserver struct {
	// File is the resolv.conf to read at each question; "" means /etc/resolv.conf.
	File string
	// Port is that of the servers; "" means 53.
	Port string
}

// LookupNetIP implements [Resolver]. Failures are a [*net.DNSError].
func (n Nameserver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	config, err := dns.ClientConfigFromFile(cmp.Or(n.File, "/etc/resolv.conf"))
	if err != nil {
		return nil, fmt.Errorf("reading the nameservers: %w", err)
	}
	config.Port = cmp.Or(n.Port, config.Port)
	types := map[string][]uint16{"ip": {dns.TypeA, dns.TypeAAAA}, "ip4": {dns.TypeA}, "ip6": {dns.TypeAAAA}}[network]
	answers, problems := make([][]netip.Addr, len(types)), make([]error, len(types))
	var all sync.WaitGroup
	for i, kind := range types {
		all.Go(func() { answers[i], problems[i] = ask(ctx, config, host, kind) })
	}
	all.Wait()
	var addrs []netip.Addr
	for _, answer := range answers {
		addrs = append(addrs, answer...)
	}
	if len(addrs) > 0 {
		return addrs, nil // one family is enough
	}
	for _, problem := range problems {
		if problem != nil {
			return nil, problem
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// ask tries each server once; only a server's failure leads to the next, never its "no".
func ask(ctx context.Context, config *dns.ClientConfig, host string, kind uint16) ([]netip.Addr, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(host), kind)
	question.SetEdns0(1232, false)
	var last error = &net.DNSError{Err: "there is no nameserver", Name: host}
	for _, server := range config.Servers {
		reply, err := exchange(ctx, question, net.JoinHostPort(server, config.Port))
		if err != nil {
			timeout := errors.Is(err, context.DeadlineExceeded) || isTimeout(err)
			last = &net.DNSError{Err: "the nameserver failed", Name: host, Server: server, IsTimeout: timeout}
			continue
		}
		switch reply.Rcode {
		case dns.RcodeSuccess:
			return addresses(reply), nil
		case dns.RcodeNameError:
			return nil, &net.DNSError{Err: "no such host", Name: host, Server: server, IsNotFound: true}
		}
		last = &net.DNSError{Err: "the nameserver answers " + dns.RcodeToString[reply.Rcode], Name: host, Server: server}
	}
	return nil, last
}

func exchange(ctx context.Context, question *dns.Msg, server string) (*dns.Msg, error) {
	reply, _, err := (&dns.Client{Net: "udp", UDPSize: 1232}).ExchangeContext(ctx, question, server)
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, question, server)
	}
	return reply, err
}

// addresses follows no alias itself: the answer of a recursive server ends in addresses.
func addresses(reply *dns.Msg) []netip.Addr {
	var addrs []netip.Addr
	for _, record := range reply.Answer {
		var ip net.IP
		switch record := record.(type) {
		case *dns.A:
			ip = record.A.To4()
		case *dns.AAAA:
			ip = record.AAAA
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func isTimeout(err error) bool {
	var problem net.Error
	return errors.As(err, &problem) && problem.Timeout()
}
