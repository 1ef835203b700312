package main

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// wiretap shares the network of a container and sees what its daemons ask, and whom, as it
// is on the wire: datagrams, and TCP to port 53. It needs CAP_NET_RAW.
func wiretap(marks []string) error {
	const everything = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, everything)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return err
		}
		if !question(buffer[:n]) {
			continue
		}
		packet := bytes.ToLower(buffer[:n])
		for _, mark := range marks {
			if bytes.Contains(packet, []byte(mark)) {
				fmt.Println("mark " + mark)
			}
		}
	}
}

// question tells whether an IP packet could ask a resolver. Its port may have been changed
// on the way, so every datagram could.
func question(packet []byte) bool {
	if len(packet) < 40 {
		return false
	}
	protocol, head := packet[9], int(packet[0]&15)*4
	if packet[0]>>4 == 6 {
		protocol, head = packet[6], 40
	}
	if len(packet) < head+4 {
		return false
	}
	return protocol == unix.IPPROTO_UDP || protocol == unix.IPPROTO_TCP && packet[head+2] == 0 && packet[head+3] == 53
}

// listen answers on every address that there is.
func listen(args []string) error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":"+args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(conn, args[1])
		_ = conn.Close()
	}
}
