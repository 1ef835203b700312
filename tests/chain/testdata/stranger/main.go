// Command stranger is everybody around a bundle: the upstream, another container of the
// same network, another user of the host. It prints one line for each thing it tried.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const usage = `usage: stranger COMMAND

  serve CERT KEY            be the upstream
  knock ADDRESS...          connect, say what a browser and a false relay would say
  ask URL AUTHORIZATION     print the answer, whoever gives it
  wait                      do nothing until a signal comes
`

const patience = 3 * time.Second

func main() {
	commands := map[string]func([]string) error{"serve": serve, "knock": knock, "ask": ask, "wait": wait}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "stranger:", err)
		os.Exit(1)
	}
}

func wait([]string) error { select {} }

// knock says nothing of why a connection failed but for the last word.
func knock(addresses []string) error {
	request := []byte("GET /health HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n")
	greeting := append([]byte("BTL1"), make([]byte, 32)...)
	// For the firewall's port, and not proved; whoever is let in asks at once.
	proof := append(append([]byte{0x22, 0xb8}, make([]byte, 32)...), request...)
	for _, address := range addresses {
		fmt.Printf("%s: web %s, link %s\n", address, say(address, request, nil), say(address, greeting, proof))
	}
	return nil
}

// say counts the bytes that come back: after the first words until the other side ends or
// 64 are there, and after the second words until it ends.
func say(address string, first, second []byte) string {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		words := strings.Split(err.Error(), ": ")
		return words[len(words)-1]
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(first); err != nil {
		return "cut off"
	}
	if second == nil {
		got, _ := io.Copy(io.Discard, conn)
		return fmt.Sprint(got)
	}
	nonce, _ := io.CopyN(io.Discard, conn, 64)
	_, _ = conn.Write(second)
	got, _ := io.Copy(io.Discard, conn)
	return fmt.Sprintf("%d+%d", nonce, got)
}

func ask(args []string) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, args[0], http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", args[1])
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // whom it believes is not the question
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	_, err = io.Copy(&text, response.Body)
	fmt.Printf("%d %s", response.StatusCode, &text)
	return err
}
