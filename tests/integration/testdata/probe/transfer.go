package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// down fetches in clear: what is measured is the link, not this processor's TLS.
func down(args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	begin := time.Now()
	response, err := http.Get(args[0] + args[1])
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := check(response.Body, size); err != nil {
		return err
	}
	fmt.Printf("down: %d bytes intact (%.1f s)\n", size, time.Since(begin).Seconds())
	return nil
}

// duplex sends, half-closes, and then receives on the half that is left. What arrived is
// the upstream's word; the host compares it with hash.
func duplex(args []string) error {
	up, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	back, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(args[1])
	begin := time.Now()
	conn, err := open(args[0], args[1], host, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%016x", back); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(conn, io.LimitReader(newPattern(uint64(up)), up), make([]byte, 64<<10)); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if err := conn.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return fmt.Errorf("after the half-close: %w", err)
	}
	fmt.Printf("up: %s (%.1f s)\n", strings.TrimSpace(line), time.Since(begin).Seconds())
	if err := check(reader, back); err != nil {
		return fmt.Errorf("receiving after the half-close: %w", err)
	}
	fmt.Printf("after the half-close: %d bytes intact\n", back)
	return nil
}

// parallel opens all tunnels before it uses the first, so that they exist at once.
func parallel(args []string) error {
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(args[1])
	var opened, done sync.WaitGroup
	failed := make(chan error, count)
	begin := time.Now()
	opened.Add(count)
	for range count {
		done.Go(func() {
			conn, err := open(args[0], args[1], host, time.Minute) // an emulated processor does all handshakes at once
			opened.Done()
			if err != nil {
				failed <- err
				return
			}
			defer conn.Close()
			opened.Wait()
			if err := fetch(conn, args[3]); err != nil {
				failed <- err
			}
		})
	}
	done.Wait()
	close(failed)
	bad := 0
	for err := range failed {
		bad++
		fmt.Println(err)
	}
	fmt.Printf("parallel: %d of %d intact (%.1f s)\n", count-bad, count, time.Since(begin).Seconds())
	return nil
}

// fetch asks for a number of bytes over an open tunnel and checks them.
func fetch(conn net.Conn, size string) error {
	want, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /bytes/%s HTTP/1.1\r\nHost: up\r\nConnection: close\r\n\r\n", size); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return check(response.Body, want)
}

// watch asks for a byte over and over. It prints "MILLISECONDS ok" and "MILLISECONDS
// reason" at each change, and how often it was answered at the end.
func watch(args []string) error {
	seconds, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	begin, last, answered := time.Now(), "", 0
	end := begin.Add(time.Duration(seconds * float64(time.Second)))
	host, _, _ := net.SplitHostPort(args[1])
	for time.Now().Before(end) {
		asked := time.Now()
		state := "ok"
		conn, err := open(args[0], args[1], host, patience)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(patience))
			err = fetch(conn, "1")
			_ = conn.Close()
		}
		if err != nil {
			state = "down"
		} else {
			answered++
		}
		if state != last {
			at := time.Now()
			if state == "down" {
				at = asked
			}
			fmt.Printf("%d %s %v\n", at.Sub(begin).Milliseconds(), state, err)
			last = state
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("%d answered\n", answered)
	return nil
}

// hash prints what the upstream must say of the first bytes of a pattern.
func hash(args []string) error {
	size, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, _ = io.CopyN(h, newPattern(uint64(size)), size)
	fmt.Printf("%d bytes, sha256 %x\n", size, h.Sum(nil))
	return nil
}
