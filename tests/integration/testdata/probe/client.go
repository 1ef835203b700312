package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const patience = 10 * time.Second

// dial connects and says what a browser would. unix:PATH is a socket.
func dial(addresses []string) error {
	for _, address := range addresses {
		network, at := "tcp", address
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			network, at = "unix", path
		}
		conn, err := net.DialTimeout(network, at, 3*time.Second)
		if err != nil {
			fmt.Printf("%s: no connection: %v\n", address, why(err))
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:8888\r\nConnection: close\r\n\r\n")
		got, _ := io.ReadAll(conn)
		_ = conn.Close()
		fmt.Printf("%s: connected, %d bytes\n", address, len(got))
	}
	return nil
}

// why is the innermost reason: the rest repeats addresses.
func why(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func lookup(names []string) error {
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, name)
		cancel()
		if err != nil {
			fmt.Printf("%s: no address\n", name)
			continue
		}
		fmt.Printf("%s: %s\n", name, strings.Join(addresses, " "))
	}
	return nil
}

// ask sends a request to the proxy exactly as given and returns the answer's status code
// and reason.
func ask(proxy, request string) string {
	conn, err := net.DialTimeout("tcp", proxy, patience)
	if err != nil {
		return "no connection: " + why(err).Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		return "no answer: " + why(err).Error()
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return "no answer: " + why(err).Error()
	}
	_ = response.Body.Close()
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, response.Header.Get("X-Bottle-Reason")))
}

func connect(args []string) error {
	for _, target := range args[1:] {
		fmt.Printf("%s: %s\n", target, ask(args[0], "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"))
	}
	return nil
}

func plain(args []string) error {
	for _, url := range args[1:] {
		host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		fmt.Printf("%s: %s\n", url, ask(args[0], "GET "+url+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"))
	}
	return nil
}

// open makes a tunnel through the proxy and speaks TLS in it.
func open(proxy, target, name string, patience time.Duration) (*tls.Conn, error) {
	conn, err := net.DialTimeout("tcp", proxy, patience)
	if err != nil {
		return nil, fmt.Errorf("no connection: %w", why(err))
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("no answer: %w", why(err))
	}
	if response.StatusCode != http.StatusOK {
		_ = conn.Close()
		return nil, fmt.Errorf("%d %s", response.StatusCode, response.Header.Get("X-Bottle-Reason"))
	}
	secure := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := secure.Handshake(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake: %w", why(err))
	}
	_ = conn.SetDeadline(time.Time{})
	return secure, nil
}

func otherName(args []string) error {
	conn, err := open(args[0], args[1], args[2], patience)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	fmt.Println("handshake done")
	return conn.Close()
}
