package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guest/probe"
)

// Attack is one thing to try: a probe of the receipt, or one of the kinds of tricks, which
// need what is to be said too.
type Attack struct {
	probe.Probe
	Say []string `json:"say,omitempty"`
}

// atOnce bounds how many are tried side by side: an emulated processor has little time.
const atOnce = 8

// attack reads a list of attacks and prints what became of each.
func attack([]string) error {
	var list []Attack
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		return err
	}
	machine := probe.Machine{Proc: "/proc", Sys: "/sys", SocketDir: "/run/bottle"}
	said := make([]probe.Observation, len(list))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, a := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			trick, ok := tricks()[string(a.Kind)]
			if !ok {
				said[i] = machine.Try(a.Probe)
				return
			}
			reached, saw := trick(a)
			said[i] = probe.Observation{Name: a.Name, Reached: reached, Saw: saw[:min(len(saw), probe.MaxSaw)]}
		})
	}
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(said)
}

func tricks() map[string]func(Attack) (bool, string) {
	return map[string]func(Attack) (bool, string){"say": say, "hello": hello, "datagram": datagram, "rawip": rawIP}
}

// say sends one piece after the other, each when the last was answered, and tells the
// answers. The last one counts.
func say(a Attack) (reached bool, saw string) {
	network, at := "tcp", a.Target
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		network, at = "unix", path
	}
	conn, err := net.DialTimeout(network, at, patience)
	if err != nil {
		return false, "no connection: " + why(err).Error()
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var answers []string
	for _, piece := range a.Say {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, piece); err != nil {
			return false, strings.Join(append(answers, "closed"), ", then ")
		}
		method, _, _ := strings.Cut(piece, " ")
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return false, strings.Join(append(answers, "no answer: "+why(err).Error()), ", then ")
		}
		if method != http.MethodConnect || response.StatusCode != http.StatusOK {
			_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
		}
		reached = response.StatusCode/100 == 2
		answers = append(answers, strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, response.Header.Get("X-Bottle-Reason"))))
	}
	return reached, strings.Join(answers, ", then ")
}

// hello opens a tunnel to the target, says the first name in TLS, and sends a request; each
// further piece is a line of its head.
func hello(a Attack) (reached bool, saw string) {
	conn, err := open(a.Via, a.Target, a.Say[0], patience)
	if err != nil {
		return false, err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.Join(a.Say[1:], "\r\n")+"\r\n\r\n"); err != nil {
		return false, "closed"
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false, "no answer: " + why(err).Error()
	}
	_ = response.Body.Close()
	return response.StatusCode/100 == 2, response.Status
}

// datagram sends what it is given, such as the first packet of QUIC, and waits for anything.
func datagram(a Attack) (reached bool, saw string) {
	conn, err := net.DialTimeout("udp", a.Target, patience)
	if err != nil {
		return false, why(err).Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, a.Say[0]); err != nil {
		return false, why(err).Error()
	}
	n, err := conn.Read(make([]byte, 2048))
	if err != nil {
		return false, why(err).Error()
	}
	return true, fmt.Sprintf("%d bytes", n)
}

// rawIP makes the whole packet itself, with a source address that is not its own, as root can.
func rawIP(a Attack) (reached bool, saw string) {
	address, err := net.ResolveUDPAddr("udp4", a.Target)
	if err != nil {
		return false, err.Error()
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false, err.Error()
	}
	defer unix.Close(fd)
	to := [4]byte(address.IP.To4())
	packet := append([]byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 9, 8, 7}, to[:]...)
	packet = append(packet, 0x99, 0x99, byte(address.Port>>8), byte(address.Port), 0, 8, 0, 0)
	err = unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to})
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return false, errno.Error()
	}
	return err == nil, "sent"
}
