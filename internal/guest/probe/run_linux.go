package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience bounds one probe. Without a network, refusals come at once.
	patience = 2 * time.Second
	// slow bounds one that goes through the bundle, which a busy host keeps waiting.
	slow = 10 * time.Second
)

// Machine is where a runner looks beside the network.
type Machine struct {
	Proc      string // "/proc"
	Sys       string // "/sys"
	SocketDir string // where the host's sockets are mounted
	// Share mounts a shared directory by its tag, and writes to it if it is to.
	Share func(tag string, write bool) error
}

// Run tries all probes side by side, and returns an observation for each, in their order.
// Those that ask the bundle begin when ready returns, and its error is Run's; a machine
// that has just started has the time for the others while it waits.
func (m Machine) Run(probes []Probe, ready func() error) ([]Observation, error) {
	observations := make([]Observation, len(probes))
	var all sync.WaitGroup
	begin := func(bundle bool) {
		for i, p := range probes {
			if asks := p.Kind == Health || p.Via != ""; asks == bundle {
				all.Go(func() { observations[i] = m.Try(p) })
			}
		}
	}
	begin(false)
	err := ready()
	if err == nil {
		begin(true)
	}
	all.Wait()
	return observations, err
}

// Try tries one probe.
func (m Machine) Try(p Probe) Observation {
	reached, saw := m.try(p)
	return Observation{Name: p.Name, Reached: reached, Saw: saw[:min(len(saw), MaxSaw)]}
}

func (m Machine) try(p Probe) (reached bool, saw string) {
	var err error
	switch p.Kind {
	case Health:
		saw, err = ask(p.Target, "GET /health HTTP/1.1\r\nHost: "+p.Target)
		return strings.HasPrefix(saw, "200"), orError(saw, err)
	case Connect:
		saw, err = ask(p.Via, "CONNECT "+p.Target+" HTTP/1.1\r\nHost: "+p.Target)
		return strings.HasPrefix(saw, "2"), orError(saw, err)
	case Plain:
		saw, err = ask(p.Via, "GET http://"+p.Target+"/ HTTP/1.1\r\nHost: "+p.Target)
		return strings.HasPrefix(saw, "2"), orError(saw, err)
	case TCP:
		err = dial(p.Target)
	case UDP:
		err = exchange(p.Target)
	case ICMP:
		err = ping(p.Target)
	case DNS:
		_, err = net.DefaultResolver.LookupNetIP(context.Background(), "ip4", p.Target) // bounded: no network
	case Vsock:
		err = vsock(p.Target)
	case Packet:
		err = packet()
	case Interfaces:
		return other(names(m.Sys+"/class/net"), []string{"lo"})
	case Sockets:
		return other(names(m.SocketDir, ".sock"), strings.Split(p.Target, ","))
	case Shares:
		return m.shares(p.Target)
	case Routes:
		return m.routes()
	case Listeners:
		return m.listeners()
	default:
		err = fmt.Errorf("there is no probe of kind %.40q", p.Kind)
	}
	return err == nil, orError("reached", err)
}

func orError(saw string, err error) string {
	if err == nil {
		return saw
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// connect dials with the patience of a probe.
func connect(network, target string) (net.Conn, error) {
	return (&net.Dialer{Timeout: patience}).DialContext(context.Background(), network, target)
}

func dial(target string) error {
	conn, err := connect("tcp", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

// exchange sends a datagram. The system's refusal of one comes with the next call.
func exchange(target string) error {
	conn, err := connect("udp", target)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("bottle probe")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// ask sends one request and returns the status and, of a refusal, its reason.
func ask(address, head string) (string, error) {
	conn, err := connect("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(slow))
	if _, err := io.WriteString(conn, head+"\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	answer := bufio.NewReader(io.LimitReader(conn, 4<<10))
	line, err := answer.ReadString('\n')
	if err != nil {
		return "", err
	}
	_, status, _ := strings.Cut(strings.TrimSpace(line), " ")
	return status, nil
}

// ping needs a raw socket, which root has.
func ping(target string) error {
	ip := net.ParseIP(target).To4()
	if ip == nil {
		return fmt.Errorf("no address: %.40q", target)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 500_000})
	request := []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1} // echo request 1 of 1, with its checksum
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrInet4{Addr: [4]byte(ip)}); err != nil {
		return err
	}
	_, _, err = unix.Recvfrom(fd, make([]byte, 128), 0)
	return err
}

func vsock(target string) error {
	cid, port, _ := strings.Cut(target, ":")
	numbers := [2]uint64{}
	for i, text := range []string{cid, port} {
		var err error
		if numbers[i], err = strconv.ParseUint(text, 10, 32); err != nil {
			return fmt.Errorf("no vsock address: %.40q", target)
		}
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.AF_VSOCK, soVMConnectTimeout, &unix.Timeval{Usec: 500_000})
	return unix.Connect(fd, &unix.SockaddrVM{CID: uint32(numbers[0]), Port: uint32(numbers[1])})
}

// soVMConnectTimeout is SO_VM_SOCKETS_CONNECT_TIMEOUT, which the library does not name.
const soVMConnectTimeout = 6

// packet sends an Ethernet broadcast out of any interface that takes one.
func packet() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	err = errors.New("no interface but lo")
	for _, link := range interfaces {
		if link.Flags&net.FlagLoopback != 0 {
			continue
		}
		if err = sendFrame(link.Index); err == nil {
			return nil
		}
	}
	return err
}

func sendFrame(link int) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, make([]byte, 60), 0, &unix.SockaddrLinklayer{Ifindex: link})
}

// names lists a directory; endings keeps those with one of them.
func names(dir string, endings ...string) []string {
	entries, _ := os.ReadDir(dir)
	var list []string
	for _, entry := range entries {
		if len(endings) == 0 || strings.HasSuffix(entry.Name(), endings[0]) {
			list = append(list, entry.Name())
		}
	}
	return list
}

// other reports what is there beside what is allowed.
func other(have, allowed []string) (bool, string) {
	var more []string
	for _, name := range have {
		found := false
		for _, known := range allowed {
			found = found || name == known
		}
		if !found {
			more = append(more, name)
		}
	}
	if len(more) > 0 {
		return true, "also " + strings.Join(more, ", ")
	}
	return false, "only " + strings.Join(have, ", ")
}

// routes looks for one that leaves lo, of IPv4 and IPv6.
func (m Machine) routes() (bool, string) {
	four, _ := os.ReadFile(m.Proc + "/net/route")
	for i, line := range strings.Split(strings.TrimSpace(string(four)), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 1 && fields[0] != "lo" {
			return true, "a route over " + fields[0]
		}
	}
	six, _ := os.ReadFile(m.Proc + "/net/ipv6_route")
	for line := range strings.SplitSeq(strings.TrimSpace(string(six)), "\n") {
		if fields := strings.Fields(line); len(fields) == 10 && fields[9] != "lo" {
			return true, "an IPv6 route over " + fields[9]
		}
	}
	return false, "no route leaves lo"
}

// listeners looks for TCP ports that are open to more than 127.0.0.1.
func (m Machine) listeners() (bool, string) {
	count := 0
	for _, name := range []string{"tcp", "tcp6"} {
		table, _ := os.ReadFile(m.Proc + "/net/" + name)
		for line := range strings.SplitSeq(string(table), "\n") {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != "0A" {
				continue
			}
			if !strings.HasPrefix(fields[1], "0100007F:") {
				return true, "open to others: " + fields[1]
			}
			count++
		}
	}
	return false, fmt.Sprintf("%d ports, all on 127.0.0.1", count)
}
