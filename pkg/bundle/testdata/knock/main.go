// Command knock is the stranger of the integration test: it connects, says what another
// container or a browser would say, and prints how many bytes came back.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	conn, err := net.DialTimeout("tcp", os.Args[1], 3*time.Second)
	if err != nil {
		fmt.Println("no connection:", err)
		os.Exit(1)
	}
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n")
	got, _ := io.ReadAll(conn)
	fmt.Printf("connected, %d bytes\n", len(got))
}
